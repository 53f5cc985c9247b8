"""Text to tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from netsim.cel.errors import CompileError, Issue

_RAW, _PLAIN = r"[rR]", r"(?:[bB]?)"
_QUOTES = "|".join(
    (
        r'"""(?:[^\\]|\\.)*?"""',
        r"'''(?:[^\\]|\\.)*?'''",
        r'"(?:[^"\\\n\r]|\\.)*"',
        r"'(?:[^'\\\n\r]|\\.)*'",
    )
)
_RAW_QUOTES = r'""".*?"""' + r"|'''.*?'''" + r'|"[^"\n\r]*"' + r"|'[^'\n\r]*'"
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+|//[^\n]*)
    |(?P<raw>(?:[bB][rR]|[rR][bB]|[rR])(?:{_RAW_QUOTES}))
    |(?P<text>[bB]?(?:{_QUOTES}))
    |(?P<float>(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?))
    |(?P<int>(?:0x[0-9a-fA-F]+|\d+)[uU]?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{{}}])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip
_HIGHEST, _UINT, _LONGEST = 2**63 - 1, 2**64, 4000
RESERVED = frozenset(
    (
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
        "namespace", "return", "var", "void", "while",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is "name", "mark", "int", "uint", "double", "string", "bytes" or "end"; `value` what it stands for."""

    kind: str
    value: Any
    at: int

    @property
    def text(self) -> str:
        """A mark or name as it is written, "" for others."""
        return self.value if self.kind in ("mark", "name") else ""


def tokens(text: str) -> Iterator[Token]:
    """The tokens of an expression, at last an "end"; raises CompileError."""
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise syntax(text, at, f"token recognition error at: '{text[at]}'")
        if found.lastgroup != "space":
            yield _token(text, found)
        at = found.end()
    yield Token("end", "<EOF>", len(text))


def syntax(text: str, at: int, why: str) -> CompileError:
    return CompileError(text, [Issue(at, f"Syntax error: {why}")])


def _token(text: str, found: re.Match[str]) -> Token:
    kind, lexeme, at = str(found.lastgroup), found[0], found.start()
    if kind in ("raw", "text"):
        return _quoted(text, lexeme, at)
    if kind == "float":
        return Token("double", float(lexeme), at)
    if kind == "int":
        return _number(text, lexeme, at)
    return Token(kind, lexeme, at)


def _number(text: str, lexeme: str, at: int) -> Token:
    unsigned = lexeme[-1] in "uU"
    digits = lexeme.rstrip("uU")[:_LONGEST]  # Python refuses thousands of them with an error of its own
    number = int(digits, 16) if digits[:2] == "0x" else int(digits)
    if unsigned and number >= _UINT:
        raise CompileError(text, [Issue(at, "invalid uint literal")])
    if not unsigned and number > _HIGHEST + 1:  # one more than fits, for the number whose sign comes before it
        raise CompileError(text, [Issue(at, "invalid int literal")])
    return Token("uint" if unsigned else "int", number, at)


def _quoted(text: str, lexeme: str, at: int) -> Token:
    start = min(i for i in (lexeme.find('"'), lexeme.find("'")) if i >= 0)
    prefix, body = lexeme[:start].lower(), lexeme[start:]
    body = body[3:-3] if body[:3] in ('"""', "'''") and len(body) >= 6 else body[1:-1]
    kind = "bytes" if "b" in prefix else "string"
    if "r" in prefix:
        return Token(kind, body.encode() if kind == "bytes" else body, at)
    try:
        return Token(kind, _unescaped_bytes(body) if kind == "bytes" else _ESCAPE.sub(_character, body), at)
    except ValueError as error:
        raise syntax(text, at, str(error)) from None


def _character(found: re.Match[str]) -> str:
    digits, octal, simple = next((d for d in found.groups()[:4] if d), ""), found[5], found[6]
    if simple is not None:
        return _simple(simple)
    code = int(octal, 8) if octal else int(digits, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError(f"invalid unicode code point in {found[0]}")
    return chr(code)


def _simple(letter: str) -> str:
    if letter not in _SIMPLE:
        raise ValueError(f"invalid escape \\{letter}")
    return _SIMPLE[letter]


def _unescaped_bytes(body: str) -> bytes:
    """In bytes \\xHH and octal escapes stand for single bytes."""
    parts: list[bytes] = []
    at = 0
    for found in _ESCAPE.finditer(body):
        parts.append(body[at : found.start()].encode())
        single = found[1] or found[2]
        parts.append(
            bytes([int(single, 16)])
            if single
            else bytes([int(found[5], 8)])
            if found[5]
            else _character(found).encode()
        )
        at = found.end()
    return b"".join((*parts, body[at:].encode()))
