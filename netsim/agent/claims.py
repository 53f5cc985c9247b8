"""From a pod's claims to directories of the node: what a PersistentVolume is, as far as it can be mounted. Pure."""

from __future__ import annotations

from netsim.agent.env import ConfigError
from netsim.agent.model import Obj
from netsim.api.objects import dig, name_of, spec_of, uid_of


def claim_volumes(pod: Obj) -> dict[str, str]:
    """The name of the claim behind each volume of the pod that has one."""
    found = {}
    for volume in pod["spec"].get("volumes") or []:
        if volume.get("persistentVolumeClaim"):
            found[str(volume["name"])] = str(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral"):
            found[str(volume["name"])] = f"{name_of(pod)}-{volume['name']}"
    return found


def bound_volume(name: str, claim: Obj | None) -> str:
    """The volume a claim is bound to; ConfigError when there is none yet."""
    if claim is None:
        raise ConfigError(f'persistentvolumeclaim "{name}" not found')
    volume = spec_of(claim).get("volumeName")
    if not volume or dig(claim, "status", "phase") != "Bound":
        raise ConfigError(f'PVC "{name}" is not bound')
    return str(volume)


def source_of(volume: Obj, claim: Obj) -> Obj:
    """A pod volume of the node's own kinds that stands for a PersistentVolume: hostPath, which `local` is as well.
    ConfigError for a volume that is another claim's, and for kinds that netsim's agent does not have."""
    name, spec = name_of(volume), spec_of(volume)
    if dig(spec, "claimRef", "uid") != uid_of(claim):
        raise ConfigError(f'volume "{name}" is not bound to claim "{name_of(claim)}"')
    if "hostPath" in spec:
        return {"name": name, "hostPath": spec["hostPath"]}
    if "local" in spec:
        return {"name": name, "hostPath": {"path": spec["local"]["path"], "type": "Directory"}, "local": spec["local"]}
    known = ("capacity", "accessModes", "claimRef", "storageClassName", "volumeMode", "nodeAffinity", "mountOptions")
    kind = next((k for k in spec if k not in (*known, "persistentVolumeReclaimPolicy")), "nothing")
    raise ConfigError(f'volume "{name}" is of type {kind}, which netsim\'s agent does not have; use local or hostPath')
