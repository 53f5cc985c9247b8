"""Request bodies to objects: JSON, YAML and protobuf, with the field checks of fieldValidation (pure)."""

from __future__ import annotations

from typing import Any, cast

import orjson

from netsim.api import schema
from netsim.api.errors import StatusError, bad_request, unsupported_media_type
from netsim.api.json_text import go_type, parse_json
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


def decode_body(body: bytes, content_type: str, expected: str) -> Obj:
    """The object in a body; `expected` is the kind it should be, for the 400's text. Unknown media types are a 415."""
    media = media_type(content_type)
    if media in JSON_TYPES:
        parse = parse_json
    elif media in YAML_TYPES:
        from netsim.server.yaml_body import parse_yaml

        parse = parse_yaml
    elif media == PROTOBUF:
        parse = _parse_protobuf
    else:
        raise unsupported_media_type()
    try:
        obj = parse(body)
    except ValueError as error:
        raise _unrecognized(body, expected, str(error)) from None
    if obj is None:  # as the decoder of Go has it: an object without anything
        return {}
    if not isinstance(obj, dict):
        raise _unrecognized(body, expected, f"json: cannot unmarshal {go_type(obj)} into Go value of type {_TYPE_META}")
    return cast(Obj, obj)


_TYPE_META = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
_SUMMARY = 30


def _unrecognized(body: bytes, expected: str, problem: str) -> StatusError:
    return bad_request(
        f"the object provided is unrecognized (must be of type {expected}): couldn't get version/kind; "
        f"json parse error: {problem} ({_summary(body)})"
    )


def _summary(body: bytes) -> str:
    """The beginning of a body as messages show it: what is no JSON object in hexadecimal."""
    start = body[:_SUMMARY].decode("utf-8", "replace") if body[:1] == b"{" else body[:_SUMMARY].hex()
    return (start or "<empty>") + (" ..." if len(body) > _SUMMARY else "")


class DecodingError(StatusError):
    """400: the body does not fit the kind's Go-like structure. `problem` is what the decoder said."""

    def __init__(self, kind: Kind, problem: str, found: str = "", version: str = "") -> None:
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
        found = go_type(obj["metadata"])
        problem = f"json: cannot unmarshal {found} into Go struct field {kind.kind}.metadata of type v1.ObjectMeta"
        raise DecodingError(kind, problem)
    return {**obj, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": obj.get("metadata") or {}}


def _check_texts(kind: Kind, obj: Obj) -> None:
    for field in ("kind", "apiVersion"):
        if not isinstance(obj.get(field, ""), str | None):
            found = f"json: cannot unmarshal {go_type(obj[field])} into Go struct field .{field} of type string"
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


def unknown_problems(kind: Kind, obj: Obj) -> list[str]:
    """What Strict refuses and Warn warns of: the unknown fields."""
    return [f'unknown field "{path}"' for path in schema.unknown_fields(kind, obj)]


def duplicate_problems(body: bytes, content_type: str, parsed: Any = None) -> list[str]:
    """The duplicate fields of a JSON body; `parsed` is what it says, where that is known already."""
    if media_type(content_type) not in JSON_TYPES or body[:1] != b"{" or _keeps_texts(body, parsed):
        return []
    return [f'duplicate field "{path}"' for path in schema.duplicate_fields(body)]


def _keeps_texts(body: bytes, parsed: Any) -> bool:
    """Whether all texts of a body are there after a round trip: the name of a duplicate field is not. Texts are told by
    their quotes, which neither white space nor the form of numbers changes; those within texts are as many after as
    before unless they were written as \\u0022."""
    try:
        again = orjson.dumps(orjson.loads(body) if parsed is None else parsed)
    except orjson.JSONEncodeError:  # nested deeper than it writes
        return False
    return body.count(b'"') == again.count(b'"') and b"\\u0022" not in body


def check_fields(kind: Kind, problems: list[str], validation: str) -> list[str]:
    """Warnings to send (Warn), none (Ignore), or a 400 (Strict)."""
    if not problems or validation == "Ignore":
        return []
    if validation == "Strict":
        raise DecodingError(kind, f"strict decoding error: {', '.join(problems)}")
    return problems


def warning_header(text: str) -> tuple[str, str]:
    """An RFC 7234 Warning header, as kubectl prints it: on one line whatever a client made up, in UTF-8."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
    return ("Warning", f'299 - "{quoted}"'.encode().decode("latin-1"))
