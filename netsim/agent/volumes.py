"""Volumes: what files a volume holds and where a container sees it. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from netsim.agent.downward import field_value, resource_value
from netsim.agent.env import ConfigError, Fetch, MountError
from netsim.agent.model import Obj

DEFAULT_MODE = 0o644


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A ServiceAccount token a projected volume needs; `audience` "" is the API server's own."""

    path: str
    audience: str
    seconds: int


@dataclass(slots=True)
class Files:
    """The content of a volume made of files: relative path -> (bytes, mode), and the tokens still to be got."""

    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    tokens: list[tuple[TokenRequest, int]] = field(default_factory=list)


def decode_data(obj: Obj) -> dict[str, bytes]:
    """The data of a ConfigMap or Secret as bytes by key."""
    if obj.get("kind") == "Secret":
        return {k: base64.b64decode(v) for k, v in (obj.get("data") or {}).items()}
    text = {k: v.encode() for k, v in (obj.get("data") or {}).items()}
    return text | {k: base64.b64decode(v) for k, v in (obj.get("binaryData") or {}).items()}


def is_files(volume: Obj) -> bool:
    """Whether a volume's content comes from the API (and is therefore read-only in containers)."""
    return any(k in volume for k in ("configMap", "secret", "projected", "downwardAPI"))


def references(pod: Obj) -> set[tuple[str, str]]:
    """(kind, name) of the ConfigMaps and Secrets that the pod's volumes need."""
    found = set()
    for volume in pod["spec"].get("volumes") or []:
        for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
            if source.get("configMap"):
                found.add(("ConfigMap", source["configMap"]["name"]))
            if source.get("secret"):
                found.add(("Secret", source["secret"].get("secretName") or source["secret"].get("name", "")))
    return found


def volume_files(volume: Obj, pod: Obj, fetch: Fetch, capacity: Mapping[str, Fraction]) -> Files:
    """Content of a configMap, secret, downwardAPI or projected volume; raises MountError for what does not exist."""
    try:
        return _volume_files(volume, pod, fetch, capacity)
    except ConfigError as error:
        raise MountError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error


def _volume_files(volume: Obj, pod: Obj, fetch: Fetch, capacity: Mapping[str, Fraction]) -> Files:
    found = Files()
    if volume.get("projected"):
        mode = int(volume["projected"].get("defaultMode") or DEFAULT_MODE)
        for source in volume["projected"].get("sources") or []:
            _add_source(found, source, pod, fetch, capacity, mode)
        return found
    part = next(volume[k] for k in ("configMap", "secret", "downwardAPI") if k in volume) or {}
    _add_source(found, volume, pod, fetch, capacity, int(part.get("defaultMode") or DEFAULT_MODE))
    return found


def _add_source(found: Files, source: Obj, pod: Obj, fetch: Fetch, capacity: Mapping[str, Fraction], mode: int) -> None:
    if source.get("configMap"):
        found.files |= _keys("ConfigMap", source["configMap"]["name"], source["configMap"], fetch, mode)
    if source.get("secret"):
        part = source["secret"]
        found.files |= _keys("Secret", part.get("secretName") or part.get("name", ""), part, fetch, mode)
    if source.get("downwardAPI"):
        found.files |= _downward(source["downwardAPI"].get("items") or [], pod, capacity, mode)
    if source.get("serviceAccountToken"):
        part = source["serviceAccountToken"]
        request = TokenRequest(part["path"], part.get("audience") or "", int(part.get("expirationSeconds") or 3600))
        found.tokens.append((request, mode))


def _keys(kind: str, name: str, part: Obj, fetch: Fetch, mode: int) -> dict[str, tuple[bytes, int]]:
    data = fetch(kind, name)
    if data is None:
        if part.get("optional"):
            return {}
        raise ConfigError(f'{kind.lower()} "{name}" not found')
    if not part.get("items"):
        return {key: (value, mode) for key, value in data.items()}
    missing = [i["key"] for i in part["items"] if i["key"] not in data]
    if missing and not part.get("optional"):
        what = "config" if kind == "ConfigMap" else "secret"
        raise ConfigError(f"references non-existent {what} key: {missing[0]}")
    return {i["path"]: (data[i["key"]], int(i.get("mode") or mode)) for i in part["items"] if i["key"] in data}


def _downward(items: list[Obj], pod: Obj, capacity: Mapping[str, Fraction], mode: int) -> dict[str, tuple[bytes, int]]:
    found = {}
    for item in items:
        if item.get("fieldRef"):
            text = field_value(pod, item["fieldRef"]["fieldPath"])
        else:
            text = resource_value(pod, pod["spec"]["containers"][0], item["resourceFieldRef"], capacity)
        found[item["path"]] = (text.encode(), int(item.get("mode") or mode))
    return found
