"""A cluster described in a file, for tests and for teaching: manifests as kubectl reads and writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .config import ConfigError
from .index import Index
from .records import Obj, flatten, key_of, terminating

Keyed = dict[tuple[str, str, str], Obj]
"""Objects by kind, namespace and name."""


def parse_objects(path: str, text: str) -> list[Obj]:
    """API objects of a YAML (several documents allowed) or JSON file, lists unfolded; ConfigError names the file."""
    documents = [json.loads(text)] if text.lstrip().startswith("{") and _is_json(text) else _yaml(path, text)
    objects = list(flatten(d for d in documents if isinstance(d, dict)))
    for position, obj in enumerate(objects, 1):
        metadata = obj.get("metadata")
        if not obj.get("kind") or not isinstance(metadata, dict) or not metadata.get("name"):
            raise ConfigError(f"dns objects file {path}: object {position} lacks kind or metadata.name")
    return objects


def replace_objects(index: Index, old: Keyed, objects: list[Obj], now: int) -> Keyed:
    """Have the index answer for `objects` in the place of `old`; only what differs is touched.

    Raises ConfigError for an object of another shape than the API's, before anything is touched.
    """
    new = {_key(obj): obj for obj in objects if str(obj["kind"]) in index.views}
    changed = [obj for key, obj in new.items() if old.get(key) != obj and not _terminating(obj)]
    views = [(obj["kind"], key_of(obj), view) for obj, view in zip(changed, _views(index, changed), strict=True)]
    for key in old.keys() - new.keys():
        index.apply(key[0], old[key], None, now)
    for kind, key_in_index, view in views:
        index.put(kind, key_in_index, view, now)
    return new


def _views(index: Index, objects: list[Obj]) -> Iterator[Any]:
    for obj in objects:
        try:
            yield index.views[obj["kind"]](obj)
        except (AttributeError, KeyError, TypeError, ValueError) as failure:
            name = "/".join(part for part in _key(obj)[1:] if part)
            why = f"is not as the API has it ({failure}); compare it with kubectl get -o yaml"
            raise ConfigError(f"dns objects: {obj['kind']} {name} {why}") from failure


def _terminating(obj: Obj) -> bool:
    return obj["kind"] == "Pod" and terminating(obj)


def _key(obj: Obj) -> tuple[str, str, str]:
    return str(obj["kind"]), str(obj["metadata"].get("namespace", "")), str(obj["metadata"]["name"])


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _yaml(path: str, text: str) -> list[Obj]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return list(yaml.load_all(text, Loader=loader))
    except yaml.YAMLError as failure:
        raise ConfigError(f"dns objects file {path}: {failure}") from failure
