"""Kubernetes objects from files, directories and standard input, for verbs that need no cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from netsim.cli.fault import Fault

_ENDINGS = (".yaml", ".yml", ".json")


def read_objects(sources: Sequence[str]) -> list[dict[str, Any]]:
    """The objects of all sources, as `kubectl -f` takes them: files, directories (their YAML and JSON files), `-`.

    Those of a List stand in its place. Faults name the source, the document and what it lacks.
    """
    found: list[dict[str, Any]] = []
    for name, text in _texts(sources):
        for number, document in enumerate(_documents(name, text), 1):
            if document is not None:
                found += _flatten(document, f"{name}, document {number}")
    return found


def _texts(sources: Sequence[str]) -> Iterator[tuple[str, str]]:
    if list(sources).count("-") > 1:
        raise Fault("-f -: standard input can be read once only")
    for source in sources:
        if source == "-":
            yield "standard input", sys.stdin.read()
            continue
        path = Path(source)
        files = sorted(each for each in path.glob("*") if each.suffix in _ENDINGS) if path.is_dir() else [path]
        if not files:
            raise Fault(f"{path}: no file in this directory ends in {', '.join(_ENDINGS)}")
        yield from ((str(file), _read(file)) for file in files)


def read_documents(file: Path) -> list[Any]:
    """What a YAML or JSON file holds, one document after another."""
    return _documents(str(file), _read(file))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise Fault(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Fault(f"{file}: not a text file in UTF-8") from None


def _documents(name: str, text: str) -> list[Any]:
    if text.lstrip().startswith("{"):
        import json

        try:
            return [json.loads(text)]
        except ValueError:  # several documents, or YAML that begins with a brace
            pass
    import yaml

    try:
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise Fault(f"{name}: not valid YAML: {error}") from None


def _flatten(document: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise Fault(f"{where}: not a Kubernetes object: it has no kind")
    if document["kind"].endswith("List") and isinstance(document.get("items") or [], list):
        kind = document["kind"].removesuffix("List")
        items = [
            {"kind": kind, **item} if kind and isinstance(item, dict) else item for item in document.get("items") or []
        ]
        return [each for number, item in enumerate(items, 1) for each in _flatten(item, f"{where}, item {number}")]
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise Fault(f"{where}: {document['kind']} without metadata.name")
    return [document]
