"""A cluster described in a file, for tests and for teaching: manifests as kubectl reads and writes them."""

from __future__ import annotations

import json
from pathlib import Path

from .config import ConfigError
from .records import Obj, flatten


def load_objects(path: str) -> list[Obj]:
    """API objects of a YAML (several documents allowed) or JSON file, lists unfolded; ConfigError names the file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise ConfigError(f"dns objects file {path}: {failure}") from failure
    documents = [json.loads(text)] if text.lstrip().startswith("{") and _is_json(text) else _yaml(path, text)
    objects = list(flatten(d for d in documents if isinstance(d, dict)))
    for position, obj in enumerate(objects, 1):
        metadata = obj.get("metadata")
        if not obj.get("kind") or not isinstance(metadata, dict) or not metadata.get("name"):
            raise ConfigError(f"dns objects file {path}: object {position} lacks kind or metadata.name")
    return objects


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
