"""Regular expressions of RE2's syntax, as Kubernetes has them, for Python's engine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from netsim.cel.errors import EvaluationError

_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7F", "blank": r"\t ", "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_PART = re.compile(
    r"(?P<literal>\\Q.*?(?:\\E|\Z))|(?P<escape>\\.)|\[:(?P<negated>\^?)(?P<named>\w+):\]|(?P<open>\[\^?\]?)|(?P<close>\])"
    r"|\(\?(?P<flags>[a-zA-Z]*(?:-[a-zA-Z]+)?)(?P<end>[:)])|(?P<group>\((?:\?P?<[A-Za-z_]\w*>)?)(?P<unknown>\?.?)?"
    r"|(?P<leave>\))|(?P<either>\|)|(?P<last>\$)|(?P<again>[*+?]\+)",
    re.DOTALL,
)
_ESCAPES = {r"\z": r"\Z", r"\C": "."}


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as one of Python; EvaluationError for what is none in RE2's syntax. Classes of digits, words and
    spaces are ASCII, `$` is the very end unless (?m) is said."""
    try:
        return re.compile(_Translation().of(pattern), re.ASCII)
    except re.error as error:
        raise _wrong(str(error)) from None
    except OverflowError:
        raise _wrong("invalid repeat count") from None
    except RecursionError:
        raise _wrong("expression nests too deeply") from None


def _wrong(why: str) -> EvaluationError:
    return EvaluationError(f"error parsing regexp: {why}")


@dataclass(slots=True)
class _Level:
    """Within one pair of parentheses: the flags set on the way, each as the group it opens, and whether (?m) holds."""

    opened: list[str] = field(default_factory=list)
    multiline: bool = False


class _Translation:
    def __init__(self) -> None:
        self._levels = [_Level()]
        self._in_class = False

    def of(self, pattern: str) -> str:
        parts: list[str] = []
        at = 0
        for found in _PART.finditer(pattern):
            if found.start() < at:
                continue
            parts += [pattern[at : found.start()], self._part(found)]
            at = found.end()
        return "".join((*parts, pattern[at:], ")" * len(self._levels[0].opened)))

    def _part(self, found: re.Match[str]) -> str:
        part = found[0]
        if found["literal"] is not None:
            return re.escape(part[2:].removesuffix(r"\E"))
        if found["escape"] is not None:
            return _escape(part)
        return self._of_class(found, part) if self._in_class else self._outside(found, part)

    def _of_class(self, found: re.Match[str], part: str) -> str:
        if found["named"] is not None:
            return _named(found["negated"], found["named"])
        if found["close"] is not None:
            self._in_class = False
        return part.replace("[", r"\[") if found["open"] is not None else part

    def _outside(self, found: re.Match[str], part: str) -> str:
        if found["open"] is not None:
            self._in_class = True
        elif found["end"] is not None:
            return self._flags(found["flags"], found["end"])
        elif found["group"] is not None:
            return self._group(found)
        elif found["leave"] is not None:
            return ")" * (1 + len(self._levels.pop().opened)) if len(self._levels) > 1 else part
        elif found["either"] is not None:
            opened = self._levels[-1].opened
            return ")" * len(opened) + "|" + "".join(opened)
        elif found["again"] is not None:  # which to Python is a quantifier that gives nothing back
            raise _wrong(f"invalid nested repetition operator: `{part}`")
        elif found["last"] is not None:
            return part if self._levels[-1].multiline else r"\Z"
        return part

    def _flags(self, flags: str, end: str) -> str:
        """(?i) holds up to the end of the group it stands in; Python asks for a group of its own."""
        on, _, off = flags.partition("-")
        if set(on + off) - set("ims"):
            raise _wrong(f"invalid or unsupported Perl syntax: `(?{flags}`")
        multiline = "m" in on or (self._levels[-1].multiline and "m" not in off)
        opening = f"(?{flags}:"
        if end == ":":
            self._levels.append(_Level(multiline=multiline))
        else:
            self._levels[-1].opened.append(opening)
            self._levels[-1].multiline = multiline
        return opening

    def _group(self, found: re.Match[str]) -> str:
        if found["unknown"] is not None:
            raise _wrong(f"invalid or unsupported Perl syntax: `{found[0]}`")
        self._levels.append(_Level(multiline=self._levels[-1].multiline))
        return found["group"].replace("(?<", "(?P<")


def _escape(part: str) -> str:
    if part[1] in "123456789Z":
        raise _wrong(f"invalid escape sequence: `{part}`")
    return _ESCAPES.get(part, part)


def _named(negated: str, name: str) -> str:
    if name not in _CLASSES or negated:
        raise _wrong(f"invalid character class range: `[:{negated}{name}:]`")
    return _CLASSES[name]
