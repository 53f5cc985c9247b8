"""Request bodies to objects: JSON, YAML and protobuf, with the field checks of fieldValidation (pure)."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from netsim.api.decoder import Misfit
from netsim.api.errors import StatusError, bad_request, unsupported_media_type
from netsim.api.json_text import duplicate_fields, json_type, parse_json
from netsim.api.kinds import Kind, Obj, by_kind, split_api_version

JSON_TYPES = ("", "application/json")
YAML_TYPES = ("application/yaml",)
PROTOBUF = "application/vnd.kubernetes.protobuf"


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _parse_protobuf(body: bytes) -> Any:
    from netsim.api.protobuf import ProtobufError, decode

    try:
        return decode(body)
    except ProtobufError as error:
        raise ValueError(str(error)) from None


class Source(NamedTuple):
    """Where an object comes from: the JSON it was read from ("" if there is none), whether that gives fields twice,
    and what strict decoding has refused already."""

    text: bytes = b""
    repeats: bool = False
    problems: tuple[str, ...] = ()

    def all_problems(self) -> list[str]:
        """What strict decoding refuses of a text whatever its type."""
        return [*self.problems, *(_told(self.text) if self.repeats else ())]


def read_body(body: bytes, content_type: str, expected: str) -> tuple[Obj, Source]:
    """The object in a body; `expected` is the kind it should be, for the 400's text. Unknown media types are a 415."""
    media = media_type(content_type)
    if media not in (*JSON_TYPES, *YAML_TYPES, PROTOBUF):
        raise unsupported_media_type()
    source = Source(body if media in JSON_TYPES else b"")
    if media in YAML_TYPES:
        source = _read_yaml(body, expected)
    try:
        obj = _parse_protobuf(body) if media == PROTOBUF else parse_json(source.text)
    except ValueError as error:
        problem = f"couldn't get version/kind; json parse error: {error}"
        raise _unrecognized(body, expected, problem) from None
    if obj is None:  # as the decoder of Go has it: an object without anything
        return {}, source
    if not isinstance(obj, dict):
        problem = f"json: cannot unmarshal {json_type(obj)} into Go value of type {_TYPE_META}"
        raise _unrecognized(body, expected, f"couldn't get version/kind; json parse error: {problem}")
    repeats = media in JSON_TYPES and body[:1] == b"{" and not _keeps_texts(body, obj)
    return obj, source._replace(repeats=repeats)


def decode_body(body: bytes, content_type: str, expected: str) -> Obj:
    """As `read_body`, the object alone."""
    return read_body(body, content_type, expected)[0]


def _read_yaml(body: bytes, expected: str) -> Source:
    from netsim.server.yaml_body import yaml_to_json

    try:
        document = yaml_to_json(body)
    except ValueError as error:
        raise _unrecognized(body, expected, str(error)) from None
    told = ("\n  ".join((_YAML_ERRORS, *document.repeated)),) if document.repeated else ()
    return Source(document.text, problems=told)


_YAML_ERRORS = "yaml: unmarshal errors:"
_TYPE_META = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
_SUMMARY = 30


def _unrecognized(body: bytes, expected: str, problem: str) -> StatusError:
    return bad_request(
        f"the object provided is unrecognized (must be of type {expected}): {problem} ({_summary(body)})"
    )


def _summary(body: bytes) -> str:
    """The beginning of a body as messages show it: what is no JSON object in hexadecimal."""
    start = body[:_SUMMARY].decode("utf-8", "replace") if body[:1] == b"{" else body[:_SUMMARY].hex()
    return (start or "<empty>") + (" ..." if len(body) > _SUMMARY else "")


class DecodingError(StatusError):
    """400: the body does not fit the kind's Go-like structure. `problem` is what the decoder said."""

    def __init__(self, kind: Kind, problem: Misfit | str, found: str = "", version: str = "") -> None:
        what = f'{found or kind.kind} in version "{version or kind.version}" cannot be handled as a {kind.kind}'
        super().__init__(400, "BadRequest", f"{what}: {problem}")
        self.problem = problem


_SCHEME = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"


def complete_type(kind: Kind, obj: Obj) -> Obj:
    """The object with kind and apiVersion from the URL where the body lacks them; 400 when they contradict it."""
    _check_texts(kind, obj)
    found_version, found_kind = obj.get("apiVersion") or kind.api_version, obj.get("kind") or kind.kind
    if (found_version, found_kind) != (kind.api_version, kind.kind):
        raise _other_type(kind, found_version, found_kind)
    if not isinstance(obj.get("metadata", {}), dict | None):
        found = json_type(obj["metadata"])
        problem = f"json: cannot unmarshal {found} into Go struct field {kind.kind}.metadata of type v1.ObjectMeta"
        raise DecodingError(kind, problem)
    return {**obj, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": obj.get("metadata") or {}}


def _check_texts(kind: Kind, obj: Obj) -> None:
    for field in ("kind", "apiVersion"):
        if not isinstance(obj.get(field, ""), str | None):
            found = f"json: cannot unmarshal {json_type(obj[field])} into Go struct field .{field} of type string"
            raise bad_request(
                f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; "
                f"json parse error: {found}"
            )


def _other_type(kind: Kind, found_version: str, found_kind: str) -> StatusError:
    group, version = split_api_version(found_version)
    if kind.custom is None and by_kind(group, version, found_kind) is None:
        problem = f'no kind "{found_kind}" is registered for version "{found_version}" in scheme "{_SCHEME}"'
        return DecodingError(kind, problem, found_kind, version)
    if found_kind == kind.kind:
        return bad_request(
            f"the API version in the data ({found_version}) does not match the expected API version "
            f"({kind.api_version})"
        )
    problem = f"converting ({found_version}.{found_kind}) to ({kind.group or 'core'}.{kind.kind}): unknown conversion"
    return DecodingError(kind, problem, found_kind, found_version)


def duplicate_problems(body: bytes, parsed: Any) -> tuple[str, ...]:
    """What strict decoding refuses of the fields that a JSON body, which says `parsed`, gives twice."""
    return () if body[:1] != b"{" or _keeps_texts(body, parsed) else _told(body)


def _told(body: bytes) -> tuple[str, ...]:
    return tuple(f'duplicate field "{path}"' for path in duplicate_fields(body))


def _keeps_texts(body: bytes, parsed: Any) -> bool:
    """Whether all texts of a body are there after a round trip: the name of a duplicate field is not. Texts are told by
    their quotes, which neither white space nor the form of numbers changes; those within texts are as many after as
    before unless they were written as \\u0022."""
    try:
        again = orjson.dumps(parsed)
    except orjson.JSONEncodeError:  # nested deeper than it writes
        return False
    return body.count(b'"') == again.count(b'"') and b"\\u0022" not in body


def check_fields(kind: Kind, problems: list[str], validation: str) -> list[str]:
    """Warnings to send (Warn), none (Ignore), or a 400 (Strict)."""
    if not problems or validation == "Ignore":
        return []
    if validation == "Strict":
        raise DecodingError(kind, f"strict decoding error: {', '.join(problems)}")
    return [line.strip() for text in problems for line in _lines(text)]


def _lines(problem: str) -> list[str]:
    """What Go's YAML reader says of several lines is a warning for each."""
    return problem.splitlines()[1:] if problem.startswith(_YAML_ERRORS) else [problem]


def warning_header(text: str) -> tuple[str, str]:
    """An RFC 7234 Warning header, as kubectl prints it: on one line whatever a client made up, in UTF-8."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
    return ("Warning", f'299 - "{quoted}"'.encode().decode("latin-1"))
