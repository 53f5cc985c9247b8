"""Functions of texts: the standard ones, the extended ones of cel-go's library (version 2), and formatting."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import islice
from typing import Any

from netsim.cel.errors import EvaluationError
from netsim.cel.escapes import ESCAPES
from netsim.cel.regex import compiled
from netsim.cel.standard import show, show_double
from netsim.cel.types import Type
from netsim.cel.values import type_name

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_CLAUSE = re.compile(r"%(?:(%)|(?:\.(\d+))?([a-zA-Z]))?")
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PRECISION, _MOST_DIGITS, _LONGEST = 6, 1000, 16 * 1024 * 1024


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if start < 0:
        raise EvaluationError(f"index out of range: {start}")
    return start if part == "" else text.find(part, start)


def _last_index_of(text: str, part: str, last: int | None = None) -> int:
    if last is not None and last < 0:
        raise EvaluationError(f"index out of range: {last}")
    if last is not None and last >= len(text):
        return -1 if part else last
    if part == "":
        return len(text) if last is None else last
    return text.rfind(part) if last is None else text.rfind(part, 0, last + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    _bounded(len(text) + len(new) * ((len(text) + 1) if old == "" else len(text) // len(old)))
    return text.replace(old, new, count if count >= 0 else -1)


def _bounded(size: int) -> None:
    """No text shall be made that nobody can hold."""
    if size > _LONGEST:
        raise EvaluationError(f"a text of {size} characters is too long")


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if separator == "":
        limit = len(text) if count < 0 else min(count, len(text))
        return [*text[: limit - 1], text[limit - 1 :]] if text else []
    return text.split(separator, count - 1 if count > 0 else -1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    for index in (start, end):
        if not 0 <= index <= len(text):
            raise EvaluationError(f"index out of range: {index}")
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _join(texts: list[Any], separator: str = "") -> str:
    if not all(isinstance(each, str) for each in texts):
        raise EvaluationError("join: invalid input: not a list of strings")
    _bounded(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def quote(text: str) -> str:
    """A text as a literal."""
    return '"' + "".join(ESCAPES.get(char, char) for char in text) + '"'


def _matches(text: str, pattern: str) -> bool:
    return compiled(pattern).found_in(text)


def _find(text: str, pattern: str) -> str:
    return compiled(pattern).first(text)


def _find_all(text: str, pattern: str, count: int = -1) -> list[str]:
    return list(islice(compiled(pattern).each(text), count if count >= 0 else None))


# --- formatting ----------------------------------------------------------------------------------------------------


def format_text(template: str, arguments: list[Any]) -> str:
    """ "%s and %d".format([a, b])."""
    left = list(arguments)
    parts: list[str] = []
    at = 0
    for found in _CLAUSE.finditer(template):
        parts.append(template[at : found.start()])
        at = found.end()
        parts.append("%" if found[1] else _clause(found, left))
    return "".join((*parts, template[at:]))


def _clause(found: re.Match[str], left: list[Any]) -> str:
    verb = found[3]
    if verb not in _VERBS:
        raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{verb or ""}"')
    if not left:
        raise EvaluationError(f"index {0} out of range")
    precision = int(found[2]) if found[2] else _PRECISION
    _bounded(precision * _LONGEST // _MOST_DIGITS)
    return _VERBS[verb](left.pop(0), precision)


def _shown(value: Any, precision: int = _PRECISION) -> str:
    """%s of a value."""
    if isinstance(value, Type):
        return value.name
    writer = _CONTAINERS.get(type_name(value))
    return writer(value) if writer is not None else show(value)


def _shown_list(value: list[Any]) -> str:
    return f"[{', '.join(map(_nested, value))}]"


def _shown_map(value: dict[Any, Any]) -> str:
    pairs = sorted((_nested(key), _nested(item)) for key, item in value.items())
    return "{" + ", ".join(f"{key}:{item}" for key, item in pairs) + "}"


_CONTAINERS: dict[str, Callable[[Any], str]] = {"list": _shown_list, "map": _shown_map}


def _nested(value: Any) -> str:
    """A value within a list or map: as a literal."""
    writers: dict[str, Callable[[Any], str]] = {
        "string": quote,
        "double": lambda number: f"{number:.{_PRECISION}f}" if math.isfinite(number) else quote(show_double(number)),
        "duration": lambda span: f'duration("{show(span)}")',
        "timestamp": lambda when: f'timestamp("{show(when)}")',
        "type": lambda found: f"type({found.name})",
    }
    return writers.get(type_name(value), _shown)(value)


def _wrong(verb: str, value: Any) -> EvaluationError:
    kinds = {"d": "decimal clause can only be used on integers", "o": "octal clause can only be used on integers"}
    why = kinds.get(verb, f"%{verb} does not fit")
    return EvaluationError(f"error during formatting: {why}, was given {type_name(value)}")


def _decimal(value: Any, precision: int) -> str:
    if type_name(value) not in ("int", "uint"):
        raise _wrong("d", value)
    return str(value)


def _fixed(value: Any, precision: int) -> str:
    """With thousands set apart, as cel-go's printer does in its English locale."""
    return _special(value, "f") or f"{value:,.{precision}f}"


def _special(value: Any, verb: str) -> str:
    """What is written of what is no finite number, "" for other numbers."""
    if value in ("NaN", "Infinity", "-Infinity"):
        return str(value)
    if type_name(value) not in ("double", "int", "uint"):
        raise _wrong(verb, value)
    if math.isfinite(value):
        return ""
    return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"


def _scientific(value: Any, precision: int) -> str:
    special = _special(value, "e")
    if special:
        return special
    mantissa, _, exponent = f"{float(value):.{precision}e}".partition("e")
    return f"{mantissa}×10{exponent.lstrip('+').translate(_SUPERSCRIPT)}"


def _radix(code: str) -> Callable[[Any, int], str]:
    def write(value: Any, precision: int) -> str:
        kind = type_name(value)
        if kind in ("int", "uint") or (kind == "bool" and code == "b"):
            return format(int(value), code)
        if code in "xX" and kind in ("string", "bytes"):
            text = str((value.encode() if kind == "string" else value).hex())
            return text.upper() if code == "X" else text
        raise _wrong(code, value)

    return write


_VERBS: dict[str | None, Callable[[Any, int], str]] = {
    "s": _shown, "d": _decimal, "f": _fixed, "e": _scientific, "b": _radix("b"),
    "x": _radix("x"), "X": _radix("X"), "o": _radix("o"),
}  # fmt: skip

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "string::contains(string) bool": str.__contains__,
    "string::startsWith(string) bool": str.startswith,
    "string::endsWith(string) bool": str.endswith,
    "string::matches(string) bool": _matches,
    "matches(string,string) bool": _matches,
    "string::find(string) string": _find,
    "string::findAll(string) list(string)": _find_all,
    "string::findAll(string,int) list(string)": _find_all,
    "string::charAt(int) string": _char_at,
    "string::indexOf(string) int": _index_of,
    "string::indexOf(string,int) int": _index_of,
    "string::lastIndexOf(string) int": _last_index_of,
    "string::lastIndexOf(string,int) int": _last_index_of,
    "string::lowerAscii() string": lambda text: text.translate(_LOWER),
    "string::upperAscii() string": lambda text: text.translate(_UPPER),
    "string::replace(string,string) string": _replace,
    "string::replace(string,string,int) string": _replace,
    "string::split(string) list(string)": _split,
    "string::split(string,int) list(string)": _split,
    "string::substring(int) string": _substring,
    "string::substring(int,int) string": _substring,
    "string::trim() string": lambda text: text.strip(_SPACE),
    "string::format(list(dyn)) string": format_text,
    "list(string)::join() string": _join,
    "list(string)::join(string) string": _join,
    "strings.quote(string) string": quote,
}
