"""RESP2 (the Redis protocol): parsing of commands and a small in-memory database. Pure."""

from __future__ import annotations

from collections.abc import Callable

MAX_WORDS = 1024
MAX_BULK = 1024 * 1024
_NIL = b"$-1\r\n"
_OK = b"+OK\r\n"


class RespError(Exception):
    """The client does not speak the protocol; the connection ends."""


def parse_command(data: bytes) -> tuple[list[bytes], int] | None:
    """The first command in `data` and the bytes it took, None when it is not whole yet. Raises RespError."""
    end = data.find(b"\n")
    if end < 0:
        return None
    if not data.startswith(b"*"):
        return data[:end].split(), end + 1
    count = _number(data[1:end], MAX_WORDS, "multibulk length")
    words: list[bytes] = []
    position = end + 1
    for _ in range(count):
        found = _bulk(data, position)
        if found is None:
            return None
        word, position = found
        words.append(word)
    return words, position


def _bulk(data: bytes, start: int) -> tuple[bytes, int] | None:
    end = data.find(b"\n", start)
    if end < 0:
        return None
    if data[start : start + 1] != b"$":
        raise RespError("Protocol error: expected '$'")
    length = _number(data[start + 1 : end], MAX_BULK, "bulk length")
    stop = end + 1 + length
    if len(data) < stop + 2:
        return None
    return data[end + 1 : stop], stop + 2


def _number(text: bytes, most: int, what: str) -> int:
    raw = text.strip()
    if not raw.isdigit() or int(raw) > most:
        raise RespError(f"Protocol error: invalid {what}")
    return int(raw)


def bulk(value: bytes | None) -> bytes:
    return _NIL if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


def integer(value: int) -> bytes:
    return b":%d\r\n" % value


class Database:
    """Strings by key, and the commands that a first look at Redis uses. It lives and dies with its container."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.values: dict[bytes, bytes] = {}
        self.commands: dict[bytes, tuple[int, Callable[[list[bytes]], bytes]]] = {
            b"ping": (0, lambda a: bulk(a[0]) if a else b"+PONG\r\n"),
            b"echo": (1, lambda a: bulk(a[0])),
            b"set": (2, self._set),
            b"get": (1, lambda a: bulk(self.values.get(a[0]))),
            b"del": (1, lambda a: integer(sum(self.values.pop(k, None) is not None for k in a))),
            b"exists": (1, lambda a: integer(sum(k in self.values for k in a))),
            b"incr": (1, lambda a: self._add(a[0], 1)),
            b"decr": (1, lambda a: self._add(a[0], -1)),
            b"dbsize": (0, lambda a: integer(len(self.values))),
            b"info": (0, lambda a: bulk(b"# Server\r\nredis_version:%s\r\n" % self.version.encode())),
            b"command": (0, lambda a: b"*0\r\n"),
            b"quit": (0, lambda a: _OK),
        }

    def run(self, words: list[bytes]) -> bytes:
        """The reply to one command of at least one word."""
        name = words[0].lower()
        least, call = self.commands.get(name, (-1, None))
        if call is None:
            return b"-ERR unknown command '%s'\r\n" % _printable(words[0])
        if len(words) - 1 < least:
            return b"-ERR wrong number of arguments for '%s' command\r\n" % name
        return call(words[1:])

    def _set(self, arguments: list[bytes]) -> bytes:
        if len(arguments) > 2:
            return b"-ERR syntax error\r\n"
        self.values[arguments[0]] = arguments[1]
        return _OK

    def _add(self, key: bytes, step: int) -> bytes:
        try:
            value = int(self.values.get(key, b"0")) + step
        except ValueError:
            return b"-ERR value is not an integer or out of range\r\n"
        self.values[key] = b"%d" % value
        return integer(value)


def _printable(word: bytes) -> bytes:
    return bytes(c for c in word[:64] if 32 <= c < 127)
