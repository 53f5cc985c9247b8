"""Request bodies to objects: JSON, YAML and protobuf, with the field checks of fieldValidation (pure)."""

from __future__ import annotations

from typing import Any, cast

import orjson

from netsim.api import schema
from netsim.api.errors import StatusError, bad_request, unsupported_media_type
from netsim.api.json_text import go_type, parse_json
from netsim.api.kinds import Kind, Obj

JSON_TYPES = ("", "application/json")
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
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
        shown = body[:1024].decode("utf-8", "replace")
        raise bad_request(
            f"the object provided is unrecognized (must be of type {expected}): "
            f"couldn't get version/kind; json parse error: {error} ({shown})"
        ) from None
    if not isinstance(obj, dict):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {expected}): couldn't get version/kind; "
            f"json parse error: json: cannot unmarshal {go_type(obj)} into Go value of type struct"
        )
    return cast(Obj, obj)


def complete_type(kind: Kind, obj: Obj) -> Obj:
    """The object with kind and apiVersion from the URL where the body lacks them; 400 when they contradict it."""
    found_version, found_kind = obj.get("apiVersion") or kind.api_version, obj.get("kind") or kind.kind
    if found_kind != kind.kind:
        raise bad_request(
            f'{found_kind} in version "{found_version}" cannot be handled as a {kind.kind}: '
            f"converting ({found_version}.{found_kind}) to ({kind.group or 'core'}.{kind.kind}): unknown conversion"
        )
    if found_version != kind.api_version:
        raise bad_request(
            f"the API version in the data ({found_version}) does not match the expected API version "
            f"({kind.api_version})"
        )
    if not isinstance(obj.get("metadata") or {}, dict):
        raise decoding_error(
            kind, "json: cannot unmarshal metadata into Go struct field .metadata of type v1.ObjectMeta"
        )
    return {**obj, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": obj.get("metadata") or {}}


def decoding_error(kind: Kind, problem: str) -> StatusError:
    """400: the body does not fit the kind's Go-like structure."""
    return bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {problem}')


def field_problems(kind: Kind, obj: Obj, body: bytes, content_type: str) -> list[str]:
    """What Strict refuses and Warn warns of: duplicate and unknown fields."""
    unknown = [f'unknown field "{path}"' for path in schema.unknown_fields(kind, obj)]
    return duplicate_problems(body, content_type) + unknown


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
        raise decoding_error(kind, f"strict decoding error: {', '.join(problems)}")
    return problems


def warning_header(text: str) -> tuple[str, str]:
    """An RFC 7234 Warning header, as kubectl prints it: on one line whatever a client made up, in UTF-8."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
    return ("Warning", f'299 - "{quoted}"'.encode().decode("latin-1"))
