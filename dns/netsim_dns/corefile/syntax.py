"""The grammar of a Corefile: server blocks of directives, which may have a body of their own. Pure.

As Caddy 1 reads it: words by white space, `"…"` for words with blanks, `#` begins a comment, a directive ends with its
line, `{` at a line's end opens its body, `{$NAME}` is a variable of the environment. `(NAME) {` is a snippet, which
every `import NAME` stands for; `import` of another name is of files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import ConfigError

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
IMPORT_DEPTH = 10
_VARIABLE = re.compile(r"\{\$(\w+)\}|\{%(\w+)%\}")


class LineError(ConfigError):
    """Its message names the line."""


@dataclass(slots=True)
class Directive:
    """A line: its name, its arguments, the lines of its body; `line` is where it stands."""

    name: str
    arguments: list[str]
    line: int
    body: list[Directive] = field(default_factory=list)

    @property
    def words(self) -> list[Any]:
        """All it says, wherever it stands."""
        return [self.name, *self.arguments, [line.words for line in self.body]]

    def error(self, why: str) -> LineError:
        return LineError(f"line {self.line}: {self.name}: {why}")


@dataclass(slots=True)
class Block:
    """A server block: the zones (with ports) it is for, and its plugins."""

    keys: list[str]
    line: int
    plugins: list[Directive] = field(default_factory=list)


Lines = list[tuple[int, list[str]]]
ReadAll = Callable[[str], list[str] | None]
"""The texts of the files that a pattern (`custom/*.override`) stands for; None if it names a file that is not there."""


def parse_corefile(text: str, environment: Mapping[str, str], read_all: ReadAll = lambda _: None) -> list[Block]:
    """The server blocks. Raises ConfigError with the line's number, of an imported line that of its `import`."""
    snippets: dict[str, Lines] = {}
    lines = _imported(_lines(text, environment), environment, read_all, snippets)
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


def _imported(
    given: Iterable[tuple[int, list[str]]],
    environment: Mapping[str, str],
    read_all: ReadAll,
    snippets: dict[str, Lines],
    depth: int = 0,
) -> Lines:
    """The lines without snippets, and with what is imported in its place."""
    found: Lines = []
    lines = iter(given)
    for number, words in lines:
        if words[0].startswith("(") and words[-2:] == [words[0], "{"] and words[0].endswith(")"):
            snippets[words[0][1:-1]] = _snippet(lines, number)
            continue
        if words[0] != "import" or len(words) < 2:
            found.append((number, words))
            continue
        texts = read_all(words[1]) if words[1] not in snippets else []
        if texts is None or depth == IMPORT_DEPTH:
            raise ConfigError(f"line {number}: import: {words[1]!r} is no snippet before this line, nor a file")
        new = [line for text in texts for line in _lines(text, environment)] or snippets.get(words[1], [])
        filled = [(number, [_filled(word, words[2:]) for word in line]) for _, line in new]
        found += _imported(filled, environment, read_all, snippets, depth + 1)
    return found


def _snippet(lines: Iterator[tuple[int, list[str]]], opened: int) -> Lines:
    found: Lines = []
    depth = 1
    for number, words in lines:
        depth += (words[-1] == "{") - (words == ["}"])
        if not depth:
            return found
        found.append((number, words))
    raise ConfigError(f"line {opened}: the snippet that begins here has no closing brace")


def _filled(word: str, arguments: Sequence[str]) -> str:
    for position, argument in enumerate(arguments):
        word = word.replace(f"{{args[{position}]}}", argument).replace(f"{{args.{position}}}", argument)
    return word


def _body(lines: Lines, position: int, opened: int) -> tuple[list[Directive], int]:
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
        try:
            words = list(_words(line, environment))
        except ConfigError as failure:
            raise LineError(f"line {number}: {failure}") from None
        if words:
            yield number, words


def _words(line: str, environment: Mapping[str, str]) -> Iterator[str]:
    for match in _WORD.finditer(line):
        quoted, plain = match.groups()
        if plain is not None and plain.startswith("#"):
            return
        if plain is not None and plain.startswith('"'):
            raise ConfigError(f"{plain}: this quotation mark has no other one in its line")
        word = quoted.replace('\\"', '"') if quoted is not None else plain
        yield _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], ""), word)
