"""Pod specs met before: the pods of a ReplicaSet or a Job have the same one, and most of the work of creating a pod
(types, defaults, rules, owned fields) follows from its spec alone.

What is kept is known by its JSON and bounded in number and size. It is shared between pods: never changed in place.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from netsim.api.causes import dns_subdomain
from netsim.api.defaults import set_defaults, set_pod_defaults
from netsim.api.deprecations import pod_name_warnings, pod_spec_warnings, warnings_of
from netsim.api.errors import Cause
from netsim.api.fieldset import FieldSet
from netsim.api.kinds import PODS, Obj
from netsim.api.managed import UNRECORDED
from netsim.api.validation import validate_create, validate_metadata_alone

TOKEN_VOLUME = "kube-api-access-"
"""How the names of the volumes begin that admission mounts tokens from; five random characters follow."""
_TOKEN_NAME = re.compile(rf"{TOKEN_VOLUME}[a-z0-9]{{5}}")
_COUNT = 128
_LONGEST = 16 * 1024
_LONGEST_METADATA = 2048


@dataclass(slots=True)
class Known:
    """A spec as clients `given` it, of the right types; the same with its defaults; the QoS class these lead to; and,
    once somebody has asked, the fields of a pod with it but for its metadata."""

    given: Obj
    settled: Obj
    qos: str
    fields: FieldSet | None = None


class PodSpecs:
    """The specs used last, by their JSON and by identity; and the JSON of finished ones which keep all rules, with what
    is warned of once somebody has asked."""

    def __init__(self) -> None:
        self._by_json: OrderedDict[bytes, Known] = OrderedDict()
        self._by_id: dict[int, Known] = {}
        self._valid: OrderedDict[bytes, tuple[str, ...] | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_json)

    def known(self, spec: Any) -> Known | None:
        """What is known of just this object, given or settled."""
        return self._by_id.get(id(spec))

    def shared(self, pod: Obj) -> Obj:
        """The pod with the spec that is kept, if its own is equal to one."""
        key = _key(pod.get("spec"))
        known = self._by_json.get(key) if key else None
        if known is None:
            return pod
        self._by_json.move_to_end(key)
        return {**pod, "spec": known.given}

    def remember(self, spec: Any) -> None:
        """Keep a spec that has the right types."""
        if self.known(spec) is not None:
            return
        key = _key(spec)
        if not key or key in self._by_json:
            return
        settled = set_defaults(PODS, {"spec": spec})
        known = Known(spec, settled["spec"], settled["status"]["qosClass"])
        self._by_json[key] = known
        # Identities are safe to go by as long as the objects are held here.
        self._by_id |= {id(known.given): known, id(known.settled): known}
        if len(self._by_json) > _COUNT:
            gone = self._by_json.popitem(last=False)[1]
            del self._by_id[id(gone.given)], self._by_id[id(gone.settled)]

    def with_defaults(self, pod: Obj) -> Obj:
        """As `set_defaults`."""
        known = self.known(pod.get("spec"))
        return set_pod_defaults(pod, known.settled, known.qos) if known is not None else set_defaults(PODS, pod)

    def problems(self, pod: Obj) -> list[Cause]:
        """As `validate_create`, for a pod that has been admitted."""
        key = _finished_key(pod["spec"])
        if key and key in self._valid:
            self._valid.move_to_end(key)
            return _metadata_problems(pod)
        found = validate_create(PODS, pod)
        if key and not found:
            self._valid[key] = None
            if len(self._valid) > _COUNT:
                self._valid.popitem(last=False)
        return found

    def warnings(self, pod: Obj) -> list[str]:
        """As `warnings_of`, for a pod that has been created."""
        key = _finished_key(pod["spec"])
        if not key or key not in self._valid:
            return warnings_of(PODS, pod)
        known = self._valid[key]
        if known is None:
            known = self._valid[key] = tuple(pod_spec_warnings(pod["spec"]))
        return [*pod_name_warnings(pod), *known]


def metadata_key(obj: Obj) -> bytes:
    """The JSON of what the objects that one owner makes have in common of their metadata; nothing for what is not worth
    keeping."""
    key = orjson.dumps({name: value for name, value in obj["metadata"].items() if name not in UNRECORDED})
    return key if len(key) <= _LONGEST_METADATA else b""


def _metadata_problems(pod: Obj) -> list[Cause]:
    """As `validate_metadata_alone`."""
    key, name = metadata_key(pod), pod["metadata"].get("name")
    if key and name and _keeps_rules(key):
        return list(dns_subdomain("metadata.name", name))
    return validate_metadata_alone(PODS, pod)


@lru_cache(_COUNT)
def _keeps_rules(metadata: bytes) -> bool:
    """Whether pods may have such metadata, with a good name."""
    return not validate_metadata_alone(PODS, {"metadata": {**orjson.loads(metadata), "name": "a"}})


def _finished_key(spec: Obj) -> bytes:
    """The JSON of an admitted pod's spec, but for the name of its token's volume: made at random, it would have no two
    pods be alike. No JSON has a bare zero byte in it, and neither rules nor warnings say that name."""
    key, own = _key(spec), _token_volume(spec)
    return key.replace(own.encode(), b"\0") if own else key


def _token_volume(spec: Obj) -> str:
    """The name of the volume that admission has added, "" if there is none: it is the last. Only a name that admission
    may have made counts: one of a client's own could break the rules for names, and is for them to judge."""
    volumes = spec.get("volumes") or ()
    name = str(volumes[-1].get("name", "")) if volumes else ""
    return name if _TOKEN_NAME.fullmatch(name) else ""


def _key(spec: Any) -> bytes:
    """A spec's JSON; nothing for what is not worth keeping."""
    if type(spec) is not dict:
        return b""
    try:
        key = orjson.dumps(spec)
    except TypeError:  # nested deeper than it writes
        return b""
    return key if len(key) <= _LONGEST else b""


SPECS = PodSpecs()
"""The process's own."""
