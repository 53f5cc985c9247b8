"""What the macros compute. Each is called with the frame, the range, the variables' names and the bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from netsim.cel.errors import EvaluationError, no_such_overload
from netsim.cel.values import Optional, find, is_missing

if TYPE_CHECKING:
    from netsim.cel.evaluate import Frame, Step

    Run = Callable[[Frame, Any, tuple[str, ...], Sequence[Step]], Any]


def _rounds(frame: Frame, found: Any, names: tuple[str, ...]) -> Iterator[Any]:
    """Binds the variables to one element after another; gives the element, or the key of a map."""
    if not isinstance(found, (dict, list)):
        raise no_such_overload()
    single = 0 if isinstance(found, dict) else 1
    for pair in found.items() if isinstance(found, dict) else enumerate(found):
        frame.spend(1)
        if len(names) == 1:
            frame.variables[names[0]] = pair[single]
            yield pair[single]
        else:
            frame.variables[names[0]], frame.variables[names[1]] = pair
            yield pair


def _bool(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise no_such_overload()


def _quantified(decisive: bool) -> Run:
    """all and exists: an error counts only if no element decides."""

    def run(frame: Frame, found: Any, names: tuple[str, ...], bodies: Sequence[Step]) -> bool:
        problem: EvaluationError | None = None
        for _ in _rounds(frame, found, names):
            try:
                if _bool(bodies[0](frame)) is decisive:
                    return decisive
            except EvaluationError as error:
                problem = problem or error
        if problem is not None:
            raise problem
        return not decisive

    return run


def _exists_one(frame: Frame, found: Any, names: tuple[str, ...], bodies: Sequence[Step]) -> bool:
    return sum(_bool(bodies[0](frame)) for _ in _rounds(frame, found, names)) == 1


def _filter(frame: Frame, found: Any, names: tuple[str, ...], bodies: Sequence[Step]) -> list[Any]:
    return [item for item in _rounds(frame, found, names) if _bool(bodies[0](frame))]


def _mapped(frame: Frame, found: Any, names: tuple[str, ...], bodies: Sequence[Step]) -> list[Any]:
    """map and transformList; with two bodies, the first one chooses."""
    made: list[Any] = []
    for _ in _rounds(frame, found, names):
        if len(bodies) == 1 or _bool(bodies[0](frame)):
            made.append(bodies[-1](frame))
    return made


def _transform_map(frame: Frame, found: Any, names: tuple[str, ...], bodies: Sequence[Step]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, _ in _rounds(frame, found, names):
        if len(bodies) == 1 or _bool(bodies[0](frame)):
            made[key] = bodies[-1](frame)
    return made


def _transform_entry(frame: Frame, found: Any, names: tuple[str, ...], bodies: Sequence[Step]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for entry in _mapped(frame, found, names, bodies):
        if not isinstance(entry, dict):
            raise no_such_overload()
        for key, value in entry.items():
            if not is_missing(find(made, key)):
                raise EvaluationError(f"insert failed: key {key} already exists")
            made[key] = value
    return made


def _sort_by(frame: Frame, found: Any, names: tuple[str, ...], bodies: Sequence[Step]) -> list[Any]:
    from netsim.cel.lists import sorted_by

    keys = [bodies[0](frame) for _ in _rounds(frame, found, names)]
    return sorted_by(found, keys)


def _opt_map(frame: Frame, found: Any, names: tuple[str, ...], bodies: Sequence[Step]) -> Any:
    if not isinstance(found, Optional) or found.empty:
        return found
    frame.variables[names[0]] = found.value
    return Optional(bodies[0](frame))


def _opt_flat_map(frame: Frame, found: Any, names: tuple[str, ...], bodies: Sequence[Step]) -> Any:
    if not isinstance(found, Optional) or found.empty:
        return found
    frame.variables[names[0]] = found.value
    return bodies[0](frame)


MACROS: dict[str, Run] = {
    "all": _quantified(False),
    "exists": _quantified(True),
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _mapped,
    "transformList": _mapped,
    "transformMap": _transform_map,
    "transformMapEntry": _transform_entry,
    "sortBy": _sort_by,
    "optMap": _opt_map,
    "optFlatMap": _opt_flat_map,
}
