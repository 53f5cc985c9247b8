"""PEM blocks as Go reads them (`encoding/pem`, RFC 1421): the first that is well-formed, whatever stands before it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

_BEGIN = re.compile(rb"(?:^|\n)-----BEGIN ([^\n]*)-----[ \t\r]*(?:\n|$)")
_END = re.compile(rb"(?:^|\n)-----END ([^\n]*)-----[ \t\r]*(?:\n|$)")
_HEADERS = re.compile(rb"(?:[^\n:]*:[^\n]*(?:\n|$))*")


class Block(NamedTuple):
    """A block's type, whether it has headers, and what it holds."""

    type: str
    headers: bool
    data: bytes


def decode_pem(text: bytes) -> tuple[Block | None, bytes]:
    """The first block and what follows it; None if there is none."""
    position = 0
    while begin := _BEGIN.search(text, position):
        end = _END.search(text, begin.end() - 1)
        if end is None:
            break
        block = _block(begin[1], text[begin.end() : end.start()] if end.start() >= begin.end() else b"")
        if begin[1] == end[1] and block is not None:
            return block, text[end.end() :]
        position = end.end() - 1
    return None, text


def _block(name: bytes, body: bytes) -> Block | None:
    headers = _HEADERS.match(body)
    length = headers.end() if headers else 0
    try:
        data = base64.b64decode(body[length:].translate(None, b" \t\r\n"), validate=True)
    except binascii.Error:
        return None
    return Block(name.decode("utf-8", "replace"), length > 0, data)
