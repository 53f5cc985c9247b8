"""YAML request bodies to JSON (pure). What would cost more than its size is refused before it is built."""

from __future__ import annotations

import re
from typing import Any, ClassVar, NamedTuple

import orjson
import yaml

from netsim.api.go_text import quoted

MAX_DEPTH = 100
MAX_NODES = 50_000
_OPENING = (yaml.events.MappingStartEvent, yaml.events.SequenceStartEvent)
_CLOSING = (yaml.events.MappingEndEvent, yaml.events.SequenceEndEvent)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Dates stay text, as in JSON; y and n are booleans, as in Go."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    bool_values: ClassVar[dict[str, bool]] = {**yaml.SafeLoader.bool_values, "y": True, "n": False}


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))


class Document(NamedTuple):
    """A YAML document as JSON, its keys in order as Go writes maps, and what is said of keys that are given twice."""

    text: bytes
    repeated: list[str]


def yaml_to_json(body: bytes) -> Document:
    """The first document of a body; ValueError says, in Go's words, what is wrong."""
    try:
        _check_size(body)
        loader = _Loader(body)
        node = loader.get_node() if loader.check_node() else None
        conversion = _Conversion(loader)
        value = conversion.value(node, 0) if node is not None else None
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"yaml: {_where(error)}{error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"yaml: {error}") from None
    return Document(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), conversion.repeated)


def _check_size(body: bytes) -> None:
    """Refuse what the loader, which recurses, could choke on."""
    depth = 0
    for nodes, event in enumerate(yaml.parse(body, Loader=_Loader)):
        depth += isinstance(event, _OPENING) - isinstance(event, _CLOSING)
        if depth > MAX_DEPTH:
            raise ValueError(f"yaml: nested deeper than {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            raise ValueError(f"yaml: more than {MAX_NODES} values; send it as JSON")
        if isinstance(event, yaml.events.DocumentEndEvent):
            return


def _where(error: yaml.MarkedYAMLError) -> str:
    """The line as Go's parser tells it: it counts from 0 but for what is no token, and does not tell of line 0."""
    if error.problem_mark is not None and error.problem_mark.line:
        line = error.problem_mark.line + isinstance(error, yaml.scanner.ScannerError)
    else:
        line = error.context_mark.line if error.context_mark is not None else 0
    return f"line {line}: " if line else ""


class _Conversion:
    """YAML nodes to JSON values. Aliases unfold as far as a document without any might have gone."""

    def __init__(self, loader: Any) -> None:
        self.repeated: list[str] = []
        self._loader, self._nodes = loader, 0

    def value(self, node: Any, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError("yaml: document contains excessive aliasing")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        value = self._loader.construct_object(node)
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            value = float(value)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def _mapping(self, node: Any, depth: int) -> dict[str, Any]:
        self._loader.flatten_mapping(node)
        found: dict[str, Any] = {}
        for key_node, item in node.value:
            value = self.value(item, depth + 1)
            key = self._key(key_node, value)
            if key in found:
                self.repeated.append(f"line {item.start_mark.line + 1}: key {quoted(key)} already set in map")
            found[key] = value
        return found

    def _key(self, node: Any, value: Any) -> str:
        key = self._loader.construct_object(node) if isinstance(node, yaml.ScalarNode) else None
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, str | int | float):
            return str(key)
        shown = quoted(value) if isinstance(value, str) else orjson.dumps(value).decode()
        raise ValueError(f"unsupported map key of type: %!s(<nil>), key: <nil>, value: {shown}")
