"""Bytes and objects to responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from netsim.api.errors import StatusError
from netsim.http.types import Response
from netsim.server.bodies import warning_header
from netsim.server.negotiate import JSON, Format

_NO_CACHE = ("Cache-Control", "no-cache, private")


def respond(body: bytes, form: Format = JSON, status: int = 200, warnings: Iterable[str] = ()) -> Response:
    """JSON bytes, ended as a line, or turned to YAML when that was asked for."""
    media = "application/json"
    if form.yaml:
        import yaml

        media, body = "application/yaml", yaml.safe_dump(orjson.loads(body), sort_keys=True).encode()
    elif not body.endswith(b"\n"):  # a long list ends so: it would have to be copied
        body += b"\n"
    headers = [_NO_CACHE, ("Content-Type", media), *map(warning_header, warnings)]
    return Response(status, headers, body)


def json_response(value: Any, status: int = 200, warnings: Iterable[str] = (), form: Format = JSON) -> Response:
    return respond(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE), form, status, warnings)


def error_response(error: StatusError, warnings: Iterable[str] = (), form: Format = JSON) -> Response:
    """The Status of a refusal, with Retry-After where it says when to come back."""
    response = json_response(error.status(), error.code, warnings, form)
    retry = (error.details or {}).get("retryAfterSeconds")
    if retry:
        response.headers.append(("Retry-After", str(retry)))
    return response


def text_response(text: str, status: int = 200) -> Response:
    headers = [_NO_CACHE, ("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
    return Response(status, headers, text.encode())
