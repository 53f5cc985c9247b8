"""The grammar of a Corefile: server blocks of directives, which may have a body of their own. Pure.

As Caddy 1 reads it: words by white space, `"…"` for words with blanks, `#` begins a comment, a directive ends with its
line, `{` at a line's end opens its body, `{$NAME}` is a variable of the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..config import ConfigError

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_VARIABLE = re.compile(r"\{\$(\w+)\}|\{%(\w+)%\}")


@dataclass(slots=True)
class Directive:
    """A line: its name, its arguments, the lines of its body; `line` is where it stands."""

    name: str
    arguments: list[str]
    line: int
    body: list[Directive] = field(default_factory=list)

    def error(self, why: str) -> ConfigError:
        return ConfigError(f"line {self.line}: {self.name}: {why}")


@dataclass(slots=True)
class Block:
    """A server block: the zones (with ports) it is for, and its plugins."""

    keys: list[str]
    line: int
    plugins: list[Directive] = field(default_factory=list)


def parse_corefile(text: str, environment: Mapping[str, str]) -> list[Block]:
    """The server blocks. Raises ConfigError with the line's number."""
    lines = list(_lines(text, environment))
    blocks: list[Block] = []
    position = 0
    while position < len(lines):
        keys: list[str] = []
        number = lines[position][0]
        while position < len(lines) and keys[-1:] != ["{"]:
            keys += lines[position][1]
            position += 1
        if keys[-1:] != ["{"] or "}" in keys:
            raise ConfigError(f"line {number}: a server block begins with its zones and `{{`, such as `.:53 {{`")
        block = Block([key for each in keys[:-1] for key in each.split(",") if key], number)
        block.plugins, position = _body(lines, position, number)
        blocks.append(block)
    return blocks


def _body(lines: list[tuple[int, list[str]]], position: int, opened: int) -> tuple[list[Directive], int]:
    """The directives up to the closing brace, and the position after it."""
    found: list[Directive] = []
    while position < len(lines):
        number, words = lines[position]
        position += 1
        if words == ["}"]:
            return found, position
        if "}" in words or words[0] == "{":
            raise ConfigError(f"line {number}: a brace that closes stands in a line of its own")
        directive = Directive(words[0], [word for word in words[1:] if word != "{"], number)
        if words[-1] == "{":
            directive.body, position = _body(lines, position, number)
        found.append(directive)
    raise ConfigError(f"line {opened}: the block that begins here has no closing brace")


def _lines(text: str, environment: Mapping[str, str]) -> Iterator[tuple[int, list[str]]]:
    """Numbers and words of the lines that have any."""
    for number, line in enumerate(text.splitlines(), 1):
        words = list(_words(line, environment))
        if words:
            yield number, words


def _words(line: str, environment: Mapping[str, str]) -> Iterator[str]:
    for match in _WORD.finditer(line):
        quoted, plain = match.groups()
        if plain is not None and plain.startswith("#"):
            return
        word = quoted.replace('\\"', '"') if quoted is not None else plain
        yield _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], ""), word)
