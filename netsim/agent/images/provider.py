"""The images of one node's containers: kept ones, the catalogue's, and what can be pulled."""

from __future__ import annotations

import asyncio
import glob
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from netsim.agent.config import AgentConfig
from netsim.agent.images import skopeo
from netsim.agent.images.oci import ImageError, machine_architecture
from netsim.agent.images.policy import is_reference, pull_policy
from netsim.agent.images.store import ImageStore
from netsim.agent.images.stored import StoredImage
from netsim.agent.model import Obj
from netsim.agent.runtime.catalogue import KEPT, Catalogue, CatalogueError, Image, UnknownImage, load_catalogue

Auths = Callable[[], Awaitable[dict[str, object]]]
MACHINE_CATALOGUE = "/etc/netsim/images.yaml"
MAX_REPORTED = 50
"""As many images as a kubelet puts into its Node's status."""


class NoImage(Exception):
    """A container's image is not to be had; `reason` is the one its status shows, and the text the message.

    `image` is set where another image is missing than the container's own: that of a volume.
    """

    def __init__(self, reason: str, message: str, image: str = "") -> None:
        super().__init__(message)
        self.reason, self.image = reason, image


@dataclass(frozen=True, slots=True)
class Had:
    """An image, and whether it had to be pulled: for how many seconds (None: it was here) and its size."""

    image: Image
    seconds: float | None = None
    size: int = 0


class Images:
    """Where the containers of one node get their images. One pull at a time, as a kubelet's."""

    def __init__(self, config: AgentConfig) -> None:
        self.config, self.architecture = config, machine_architecture()
        # Beside the nodes' directories: the images of a lab are those of all its nodes.
        self.directory = f"{os.path.dirname(config.state_dir)}/images"
        self.store = ImageStore(self.directory)
        self._catalogue: tuple[tuple[tuple[str, int], ...], Catalogue] | None = None
        self._pulling = asyncio.Lock()
        self._reading = threading.Lock()

    def catalogue(self) -> Catalogue:
        """The catalogue, read again when one of its files has changed. Raises CatalogueError, OSError."""
        files = catalogue_files(self.directory, self.config.catalogues)
        stamps = tuple((path, os.stat(path).st_mtime_ns) for path in files)
        with self._reading:
            if self._catalogue is None or self._catalogue[0] != stamps:
                self._catalogue = (stamps, load_catalogue(files))
            return self._catalogue[1]

    async def ensure(self, container: Obj, pulling: Callable[[], None], auths: Auths) -> Had:
        """The image of a container, pulled if its policy and the machine allow; `pulling` tells that this begins.

        Raises NoImage, and what `auths` (the registries' credentials, asked for only to pull) raises.
        """
        reference, policy = str(container["image"]), pull_policy(container)
        if not is_reference(reference):
            text = f'couldn\'t parse image name "{reference}": invalid reference format'
            raise NoImage("InvalidImageName", f'Failed to apply default image tag "{reference}": {text}')
        here = self._find(reference, policy)
        if here is not None:
            return Had(here)
        if policy == "Never":
            text = f'Container image "{reference}" is not present with pull policy of Never'
            raise NoImage("ErrImageNeverPull", text)
        pulling()
        return await self._pull(reference, policy, auths)

    def _find(self, reference: str, policy: str) -> Image | None:
        """An image that need not be pulled: a kept one unless the policy is Always, else the catalogue's."""
        kept = self.store.find(reference)
        if kept is not None:
            return self.described(reference, kept) if policy != "Always" else None
        try:
            return self.catalogue().resolve(reference)
        except UnknownImage:
            return None
        except (CatalogueError, OSError) as error:
            raise NoImage("ErrImagePull", str(error)) from error

    async def _pull(self, reference: str, policy: str, auths: Auths) -> Had:
        if not skopeo.available():
            if self.store.find(reference) is None:
                raise NoImage("ErrImagePull", self.catalogue().explain(reference))
            text = "no skopeo, or NETSIM_PULL=off: nothing is pulled; imagePullPolicy IfNotPresent takes the loaded one"
            raise NoImage("ErrImagePull", text)
        begun = time.monotonic()
        async with self._pulling:
            here = self._find(reference, policy)  # another container may have wanted it as well
            if here is not None:
                return Had(here)
            try:
                arguments = (self.store, reference, self.architecture, skopeo.machine_netns(), await auths())
                kept = await asyncio.to_thread(skopeo.pull, *arguments)
            except (ImageError, OSError) as error:
                try:
                    hint = f"nor is {reference!r} in netsim's image catalogue: {self.catalogue().nearest(reference)}"
                except (CatalogueError, OSError) as broken:
                    hint = str(broken)
                raise NoImage("ErrImagePull", f"{error}; {hint}") from error
        return Had(self.described(reference, kept), time.monotonic() - begun, kept.size)

    def described(self, reference: str, kept: StoredImage) -> Image:
        """A kept image as containers are started from it."""
        config = kept.config
        return Image(
            reference, KEPT, command=config.entrypoint, args=config.cmd, user=config.user, env=config.env,
            cwd=config.cwd, stop_signal=config.stop_signal, layers=tuple(self.store.lowers(kept)), id=kept.reported_id,
            volumes=config.volumes,
        )  # fmt: skip

    def reported(self) -> list[Obj]:
        """status.images of the Node: the biggest first."""
        biggest = sorted(self.store.images(), key=lambda image: -image.size)[:MAX_REPORTED]
        return [{"names": reported_names(image), "sizeBytes": image.size} for image in biggest]


def reported_names(image: StoredImage) -> list[str]:
    """An image's names in a Node's status: by digest, where it has one, and by tag."""
    return list(dict.fromkeys([*([image.reported_id] if image.digest and image.names else []), *image.names]))


def catalogue_files(images_dir: str, more: tuple[str, ...] = ()) -> list[str]:
    """Files that extend the packaged catalogue, later ones win: the machine's, the lab's by name, then `more`."""
    machine = [MACHINE_CATALOGUE] if os.path.exists(MACHINE_CATALOGUE) else []
    return [*machine, *sorted(glob.glob(f"{glob.escape(images_dir)}/catalogue/*.yaml")), *more]
