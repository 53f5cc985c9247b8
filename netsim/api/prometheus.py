"""Prometheus' text format 0.0.4, in which the agents and the server tell of themselves. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Row = tuple[Mapping[str, str], float, float | None]
"""Labels, value, and time in epoch seconds (None leaves the time to whoever reads)."""


def render_metric(name: str, kind: str, text: str, rows: Iterable[Row]) -> Iterator[str]:
    """Lines of one metric; `kind` is counter or gauge."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value, at in rows:
        listed = _listed(labels)
        stamp = "" if at is None else f" {round(at * 1000)}"
        yield f"{name}{{{listed}}} {value:.15g}{stamp}" if listed else f"{name} {value:.15g}{stamp}"


class Histogram:
    """How many observations were at most each of `bounds` (ascending), how many there were, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Take in an observation that was made so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times


def render_histogram(name: str, text: str, histogram: Histogram) -> Iterator[str]:
    """Lines of one histogram without labels."""
    yield from render_histograms(name, text, [({}, histogram)])


def render_histograms(name: str, text: str, rows: Iterable[tuple[Mapping[str, str], Histogram]]) -> Iterator[str]:
    """Lines of one histogram for each set of labels."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} histogram"
    for labels, histogram in rows:
        listed = _listed(labels)
        bounds = (*(f"{bound:g}" for bound in histogram.bounds), "+Inf")
        totals = list(accumulate(histogram.counts))
        before, after = f"{listed}," if listed else "", f"{{{listed}}}" if listed else ""
        for bound, total in zip(bounds, totals, strict=True):
            yield f'{name}_bucket{{{before}le="{bound}"}} {total}'
        yield f"{name}_sum{after} {histogram.sum:.15g}"
        yield f"{name}_count{after} {totals[-1]}"


def _listed(labels: Mapping[str, str]) -> str:
    return ",".join(f'{key}="{_escaped(labels[key])}"' for key in sorted(labels))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
