"""Files that a pod's real processes see: resolver files and volumes, and where they are mounted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fractions import Fraction

from netsim.agent import claims, hosts, podspec, resolv, volumes
from netsim.agent.config import AgentConfig
from netsim.agent.env import ConfigError, container_env, expand, referenced, references
from netsim.agent.model import Obj, Sandbox
from netsim.agent.objects import PodObjects
from netsim.agent.runtime.spec import Bind
from netsim.agent.runtime.storage import Storage
from netsim.agent.runtime.sub_path import SubPaths
from netsim.agent.runtime.volume_files import ensure_host_path, own_by_group

HOST_RESOLV, HOST_HOSTS = "/etc/resolv.conf", "/etc/hosts"
RESOLVER_FILES = ("resolv.conf", "hostname", "hosts")


class PodFiles:
    """The files of one node's pods."""

    def __init__(
        self, config: AgentConfig, storage: Storage, objects: PodObjects, capacity: Mapping[str, Fraction]
    ) -> None:
        self.config, self.storage, self.objects, self.capacity = config, storage, objects, capacity
        self._claimed: dict[str, dict[str, Obj]] = {}

    async def check_references(self, pod: Obj, spec: Obj) -> None:
        """A container with variables or volumes from what does not exist must not start, whatever runs in it."""
        wanted = references(pod, spec)
        if wanted:
            fetch = await self.objects.fetch(pod["metadata"]["namespace"], wanted)
            container_env(pod, spec, (), fetch, self.capacity)
        sources = [v for v in pod["spec"].get("volumes") or [] if "configMap" in v or "secret" in v]
        if sources:
            fetch = await self.objects.fetch(pod["metadata"]["namespace"], volumes.references(pod))
            for volume in sources:
                volumes.volume_files(volume, pod, fetch, self.capacity)
        await self.resolve_claims(pod)

    async def resolve_claims(self, pod: Obj) -> None:
        """Find what the pod's claims are bound to, for `binds`. Raises ConfigError, StatusError, OSError."""
        found = {}
        for name, claim_name in claims.claim_volumes(pod).items():
            found[name] = await self.objects.claimed(pod["metadata"]["namespace"], claim_name)
        if found:
            self._claimed[podspec.uid(pod)] = found

    def forget(self, uid: str) -> None:
        """Drop what is known of a pod that is gone."""
        self._claimed.pop(uid, None)

    async def contents(self, pod: Obj) -> dict[str, volumes.Files]:
        """Content of the pod's volumes of files by directory, tokens filled in.

        Raises ConfigError, StatusError, OSError.
        """
        wanted = [v for v in pod["spec"].get("volumes") or [] if volumes.is_files(v)]
        if not wanted:
            return {}
        fetch = await self.objects.fetch(pod["metadata"]["namespace"], volumes.references(pod))
        found = {}
        for volume in wanted:
            content = volumes.volume_files(volume, pod, fetch, self.capacity)
            for request, mode in content.tokens:
                content.files[request.path] = ((await self.objects.token(pod, request)).encode(), mode)
            if fs_group(pod) is not None:
                content.files = {name: (data, mode | 0o440) for name, (data, mode) in content.files.items()}
            found[self.storage.volume_dir(podspec.uid(pod), volume["name"])] = content
        return found

    def resolver(self, pod: Obj) -> tuple[resolv.Resolv, list[resolv.Warn]]:
        """The pod's resolver configuration, and the events about it."""
        node = resolv.parse_resolv(_read(HOST_RESOLV))
        return resolv.pod_resolv(pod, node, self.config.cluster_dns, self.config.cluster_domain)

    def hostname(self, pod: Obj) -> str:
        """What `hostname` says in the pod. Raises HostnameTooLong."""
        return hosts.kernel_hostname(pod, self.config.cluster_domain, self.config.node_name)

    def write_resolver(self, pod: Obj, sandbox: Sandbox) -> None:
        """/etc/resolv.conf, /etc/hostname and /etc/hosts of the pod."""
        directory = self.storage.pod_dir(podspec.uid(pod))
        os.makedirs(directory, exist_ok=True)
        texts = {"resolv.conf": self.resolver(pod)[0].render(), "hostname": self.hostname(pod) + "\n"}
        node = _read(HOST_HOSTS) if sandbox.host_network else ""
        texts["hosts"] = hosts.pod_hosts(pod, sandbox.ips, self.config.cluster_domain, node)
        for name in RESOLVER_FILES:
            # Written in place: a bind mount shows the inode that was there when the container started.
            with open(f"{directory}/{name}", "w", encoding="utf-8") as file:
                file.write(texts[name])

    def binds(self, pod: Obj, spec: Obj, env: Mapping[str, str], held: SubPaths) -> list[Bind]:
        """Bind mounts of a container: resolver files and volumes; directories are made. `env` is for subPathExpr.

        Those of subPaths are there as long as `held`. Raises ConfigError.
        """
        directory = self.storage.pod_dir(podspec.uid(pod))
        own = [Bind(f"{directory}/{n}", f"/etc/{n}", n != "hosts") for n in RESOLVER_FILES]
        known = {v["name"]: v for v in pod["spec"].get("volumes") or []}
        return own + [self._volume_bind(pod, known, m, env, held) for m in spec.get("volumeMounts") or []]

    def _volume_bind(
        self, pod: Obj, known: dict[str, Obj], wanted: Obj, env: Mapping[str, str], held: SubPaths
    ) -> Bind:
        volume = known.get(wanted["name"])
        if volume is None:
            raise ConfigError(f"volumeMounts: there is no volume {wanted['name']!r} in the pod's spec.volumes")
        source = self._volume_source(pod, volume)
        if wanted.get("subPath") or wanted.get("subPathExpr"):
            source = held.hold(source, wanted.get("subPath") or expand_path(wanted["subPathExpr"], env))
        read_only = bool(wanted.get("readOnly") or (volume.get("persistentVolumeClaim") or {}).get("readOnly"))
        fixed = volumes.is_files(volume) or "image" in volume
        return Bind(source, wanted["mountPath"], read_only or fixed, programs="image" not in volume)

    def _volume_source(self, pod: Obj, volume: Obj) -> str:
        uid = podspec.uid(pod)
        volume = self._claimed.get(uid, {}).get(volume["name"], volume)
        if "hostPath" in volume:
            path = ensure_host_path(volume)
            own_by_group(path, fs_group(pod) if "local" in volume else None, read_only=False)
            return path
        if "emptyDir" in volume:
            directory = self.storage.ensure_empty_dir(uid, volume["name"], volume["emptyDir"] or {})
            own_by_group(directory, fs_group(pod), read_only=False)
            return directory
        if volumes.is_files(volume) or "image" in volume:
            return self.storage.volume_dir(uid, volume["name"])
        kind = next((k for k in volume if k != "name"), "nothing")
        raise ConfigError(f"volume {volume['name']!r} is of type {kind}, which netsim's agent does not have")


def fs_group(pod: Obj) -> int | None:
    """The group that is to own the pod's volumes (securityContext.fsGroup)."""
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def expand_path(text: str, env: Mapping[str, str]) -> str:
    """A subPathExpr with its variables' values; ConfigError for one that there is none of (pure)."""
    unknown = sorted(name for name in referenced(text) if name not in env)
    if unknown:
        raise ConfigError(f"subPathExpr {text!r}: variable {unknown[0]} is not set in the container")
    return expand(text, env)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
