"""The local provisioner of one node: makes a directory and a PersistentVolume for each claim whose first pod goes to
this node, and removes both when the volume is given up."""

from __future__ import annotations

import asyncio
import logging
import os

from netsim.agent import provisioning
from netsim.agent.model import Obj
from netsim.agent.provisioning import PROVISIONER
from netsim.api.errors import StatusError
from netsim.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from netsim.api.objects import dig, key_of, name_of, spec_of
from netsim.client.cache import Cache
from netsim.client.events import EventType, record_event
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim.host.trees import remove_tree

log = logging.getLogger(__name__)
RETRY_SECONDS = 2.0


class Provisioner:
    """`claims` and `volumes` follow the API; `run` does what they ask for, one after another."""

    def __init__(self, client: Client, node: str, state_dir: str) -> None:
        self.client, self.node, self.state_dir = client, node, state_dir
        self.claims, self.volumes = Cache(), Cache()
        self._changed = asyncio.Event()
        self.claims.on_change(self._wake)
        self.volumes.on_change(self._wake)

    def _wake(self, _key: str, _old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._changed.set()

    def reflectors(self) -> list[Reflector]:
        """What keeps the caches up to date."""
        kinds = ((PERSISTENT_VOLUME_CLAIMS, self.claims), (PERSISTENT_VOLUMES, self.volumes))
        return [Reflector(self.client, kind, cache) for kind, cache in kinds]

    async def run(self) -> None:
        """Serve for ever; what fails is tried again."""
        await self.claims.wait_synced()
        await self.volumes.wait_synced()
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._serve_all():
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()

    async def _serve_all(self) -> bool:
        """Whether everything that is to be done has been."""
        done = True
        for claim in [c for c in self.claims.values() if provisioning.is_to_provision(c, self.node)]:
            done &= await self._provision(claim)
        for volume in [v for v in self.volumes.values() if provisioning.is_to_delete(v, self.node)]:
            done &= await self._delete(volume)
        for volume in [v for v in self.volumes.values() if provisioning.is_to_let_go(v, self.node)]:
            done &= await self._give_up(volume)
        return done

    async def _give_up(self, volume: Obj) -> bool:
        try:
            await self._let_go(volume)
        except (OSError, StatusError) as error:
            log.warning("volume %s cannot be let go: %s", name_of(volume), error)
            return False
        return True

    async def _let_go(self, volume: Obj) -> None:
        try:
            await self.client.patch(PERSISTENT_VOLUMES, name_of(volume), provisioning.without_finalizer(volume))
        except StatusError as error:
            if error.code not in (404, 409):  # it is gone, or a newer state is on its way here
                raise

    async def _provision(self, claim: Obj) -> bool:
        if self.volumes.get(provisioning.volume_name(claim)) is not None:
            return True
        problem = provisioning.refusal(claim)
        if problem:
            await self._tell(claim, "Warning", "ProvisioningFailed", f"failed to provision volume: {problem}")
            return True
        text = f'External provisioner is provisioning volume for claim "{key_of(claim)}"'
        await self._tell(claim, "Normal", "Provisioning", text)
        try:
            name = await self._make(claim)
        except (OSError, StatusError) as error:
            text = f'failed to provision volume with StorageClass "{spec_of(claim).get("storageClassName")}": {error}'
            await self._tell(claim, "Warning", "ProvisioningFailed", text)
            return False
        await self._tell(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
        return True

    async def _make(self, claim: Obj) -> str:
        storage_class = await self.client.get(STORAGE_CLASSES, str(spec_of(claim)["storageClassName"]))
        directory = provisioning.directory_of(self.state_dir, claim)
        await asyncio.to_thread(make_directory, directory)
        wanted = provisioning.volume_for(claim, storage_class, self.node, directory)
        try:
            await self.client.create(PERSISTENT_VOLUMES, wanted)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        return name_of(wanted)

    async def _delete(self, volume: Obj) -> bool:
        """The directory first: a volume that is still there afterwards is deleted once more."""
        try:
            directory = str(dig(volume, "spec", "local", "path") or "")
            await asyncio.to_thread(remove_directory, self.state_dir, directory)
            if provisioning.FINALIZER in (volume["metadata"].get("finalizers") or ()):
                await self._let_go(volume)
            await self.client.delete(PERSISTENT_VOLUMES, name_of(volume), uid=volume["metadata"]["uid"])
        except (OSError, ValueError, StatusError) as error:
            if isinstance(error, StatusError) and error.code == 404:
                return True
            about = {"apiVersion": "v1", "kind": "PersistentVolume", **volume}
            await record_event(
                self.client, about, "Warning", "VolumeFailedDelete", str(error), component=PROVISIONER, host=self.node
            )
            return False
        return True

    async def _tell(self, claim: Obj, kind: EventType, reason: str, message: str) -> None:
        about = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim}
        await record_event(self.client, about, kind, reason, message, component=PROVISIONER, host=self.node)


def make_directory(directory: str) -> None:
    """Everybody may write in it, whatever user a pod runs as."""
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o777)


def remove_directory(state_dir: str, directory: str) -> None:
    """Remove a volume's content. ValueError for a path that this provisioner cannot have made."""
    parent, name = os.path.split(directory)
    if parent != f"{state_dir}/volumes" or name in ("", ".", "..") or os.path.islink(directory):
        raise ValueError(f"{directory!r} is no directory in {state_dir}/volumes; remove the volume by hand")
    if os.path.isdir(directory):
        remove_tree(directory)
