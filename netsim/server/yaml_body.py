"""YAML request bodies to JSON values (pure). What would cost more than its size is refused before it is built."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson
import yaml

MAX_DEPTH = 100
MAX_NODES = 50_000
_OPENING = (yaml.events.MappingStartEvent, yaml.events.SequenceStartEvent)
_CLOSING = (yaml.events.MappingEndEvent, yaml.events.SequenceEndEvent)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Dates stay text, as in JSON."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _check_size(body: bytes) -> None:
    """Refuse aliases (they unfold exponentially) and what the loader, which recurses, could choke on."""
    depth = 0
    for nodes, event in enumerate(yaml.parse(body, Loader=_Loader)):
        depth += isinstance(event, _OPENING) - isinstance(event, _CLOSING)
        if isinstance(event, yaml.events.AliasEvent):
            raise ValueError("YAML aliases are not accepted; write the values out")
        if depth > MAX_DEPTH:
            raise ValueError(f"the YAML is nested deeper than {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            raise ValueError(f"the YAML has more than {MAX_NODES} values; send it as JSON")


def parse_yaml(body: bytes) -> Any:
    """The one document of a body as JSON has it; ValueError says what is wrong."""
    try:
        _check_size(body)
        return orjson.loads(orjson.dumps(yaml.load(body, Loader=_Loader), option=orjson.OPT_NON_STR_KEYS))
    except yaml.YAMLError as error:
        raise ValueError(f"error converting YAML to JSON: yaml: {error}") from None
    except TypeError as error:
        raise ValueError(f"error converting YAML to JSON: {error}") from None
