"""The volumes that an image declares (VOLUME of a Dockerfile): what is written there is not part of the root."""

from __future__ import annotations

import os
from collections.abc import Sequence

from netsim.agent.env import CreateError
from netsim.agent.images.layers import inside, split_name
from netsim.agent.images.oci import ImageError
from netsim.agent.runtime.spec import Bind
from netsim.host.exec import run


def own_volumes(paths: Sequence[str], mounted: Sequence[Bind], root: str, directory: str) -> list[Bind]:
    """A directory for each of an image's volumes that the pod mounts nothing on, with what the image has there.

    They are made below `directory` and go with the container. Raises CreateError, OSError. Blocks.
    """
    taken = {bind.target.rstrip("/") for bind in mounted}
    wanted = [path for path in paths if path.rstrip("/") not in taken]
    return [Bind(_make(path, root, f"{directory}/{i}"), path, read_only=False) for i, path in enumerate(wanted)]


def _make(path: str, root: str, target: str) -> str:
    try:
        source = inside(root, split_name(path), path)
    except ImageError as error:
        raise CreateError(f"the image's volume {path!r}: {error}") from error
    os.makedirs(target)
    if os.path.isdir(source):
        run(["cp", "--archive", f"{source}/.", target])
    return target
