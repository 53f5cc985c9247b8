"""Pulling an image with skopeo, from the machine's own network: a lab has no way out."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping

from netsim.agent.images.oci import ImageError
from netsim.agent.images.store import PULL, ImageStore
from netsim.agent.images.stored import StoredImage, full_name
from netsim.agent.runtime.catalogue import parse_reference
from netsim.host import netns
from netsim.host.exec import CommandFailed, CommandMissing, run

PULL_SECONDS = 600.0
_MESSAGE = re.compile(r'msg="((?:[^"\\]|\\.)*)"')


def available() -> bool:
    """Whether skopeo is installed and may be used: with NETSIM_PULL=off in the environment nothing is pulled."""
    return os.environ.get("NETSIM_PULL") != "off" and shutil.which("skopeo") is not None


def machine_netns() -> str:
    """The network namespace of the process that started this one: the machine's, where a lab's nodes have their own."""
    return f"/proc/{os.getppid()}/ns/net"


def pull(
    store: ImageStore, reference: str, architecture: str, network: str = "", auths: Mapping[str, object] | None = None
) -> StoredImage:
    """Pull an image and keep it; `network` is a namespace's path, `auths` as in Docker's config.json.

    Raises ImageError, OSError.
    """
    os.makedirs(store.directory, mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PULL, dir=store.directory) as scratch:
        argv = copy_argv(reference, architecture, f"{scratch}/layout")
        if auths:
            with open(f"{scratch}/auth.json", "w", encoding="utf-8") as file:
                json.dump({"auths": auths}, file)
            argv += ["--src-authfile", f"{scratch}/auth.json"]
        try:
            if network:
                netns.run_in(network, run, argv, timeout=PULL_SECONDS)
            else:
                run(argv, timeout=PULL_SECONDS)
        except CommandMissing as error:
            raise ImageError(str(error)) from None
        except CommandFailed as error:
            raise ImageError(clean(error.stderr)) from error
        return store.load(f"{scratch}/layout", architecture, full_name(reference))[0]


def copy_argv(reference: str, architecture: str, layout: str) -> list[str]:
    """skopeo's command line; a digest wins over a tag, of which it takes only one (pure)."""
    parsed = parse_reference(reference)
    tail = f"@{parsed.digest}" if parsed.digest else f":{parsed.tag or 'latest'}"
    platform = ["--override-os", "linux", "--override-arch", architecture]
    return ["skopeo", *platform, "copy", "--quiet", f"docker://{parsed.repository}{tail}", f"oci:{layout}"]


def clean(text: str) -> str:
    """skopeo's complaint without its log's decoration (pure)."""
    found = _MESSAGE.findall(text)
    lines = text.strip().splitlines()
    return (found[-1].replace('\\"', '"') if found else lines[-1] if lines else "no message").replace("\\n", " ")
