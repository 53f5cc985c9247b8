"""HTTP/1.1 message heads as bytes (RFC 9112). Pure: no clock, no socket."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import parse_qsl, quote, unquote, urlencode

from netsim.http.types import Request, Response

PHRASES: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}
BODILESS = frozenset({101, 204, 304})
_STATUS_LINES: dict[int, str] = {code: f"HTTP/1.1 {code} {phrase}\r\n" for code, phrase in PHRASES.items()}
_PATH_SAFE = "/:@!$&'()*+,;=-._~"


class BadHeader(ValueError):
    """A header name or value that would break the message apart (CR, LF or NUL in it)."""


def split_target(target: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Decoded path and query pairs (order and repeats kept) of a request target in origin or absolute form."""
    text = target.decode("latin-1")
    if not text.startswith("/"):
        _, _, rest = text.partition("://")
        text = "/" + rest.partition("/")[2]
    path, _, query = text.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True, encoding="utf-8") if query else []
    return (unquote(path) if "%" in path else path), pairs


def join_target(path: str, query: list[tuple[str, str]]) -> str:
    """Request target in origin form."""
    target = quote(path, safe=_PATH_SAFE)
    return f"{target}?{urlencode(query)}" if query else target


def _render_fields(fields: Iterable[tuple[str, str]]) -> str:
    text = "".join([f"{name}: {value}\r\n" for name, value in fields])
    if text.count("\n") != text.count("\r\n") or text.count("\r") != text.count("\n") or "\0" in text:
        raise BadHeader("a header holds a control character")
    return text


def _checked(fields: list[tuple[str, str]]) -> str:
    text = _render_fields(fields)
    if text.count("\n") != len(fields):
        raise BadHeader("a header holds a line break")
    return text


def render_response_head(response: Response, *, framing: str, date: str, keep_alive: bool) -> bytes:
    """Status line and fields; `framing` is the ready field line that tells how the body ends, or ""."""
    line = _STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} Status\r\n"
    fields = _checked(response.headers) if response.headers else ""
    close = "" if keep_alive else "Connection: close\r\n"
    return f"{line}Date: {date}\r\n{fields}{framing}{close}\r\n".encode("latin-1")


def render_request(request: Request, *, prefix: str, host: str, defaults: list[tuple[str, str]]) -> bytes:
    """A whole request. `defaults` are fields added unless the request names them; `prefix` goes before its path."""
    given = {name.lower() for name, _ in request.headers}
    fields = [*((k, v) for k, v in defaults if k.lower() not in given), *request.headers]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        fields.append(("content-length", str(len(request.body))))
    target = join_target(prefix + request.path, request.query)
    head = f"{request.method} {target} HTTP/1.1\r\nHost: {host}\r\n{_checked(fields)}\r\n"
    return head.encode("latin-1") + request.body
