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
        listed = ",".join(f'{key}="{_escaped(labels[key])}"' for key in sorted(labels))
        stamp = "" if at is None else f" {round(at * 1000)}"
        yield f"{name}{{{listed}}} {value:.15g}{stamp}" if listed else f"{name} {value:.15g}{stamp}"


class Histogram:
    """How many observations were at most each of `bounds` (ascending), how many there were, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Take in one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


def render_histogram(name: str, text: str, histogram: Histogram) -> Iterator[str]:
    """Lines of one histogram without labels."""
    bounds = (*(f"{bound:g}" for bound in histogram.bounds), "+Inf")
    totals = list(accumulate(histogram.counts))
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} histogram"
    yield from (f'{name}_bucket{{le="{bound}"}} {total}' for bound, total in zip(bounds, totals, strict=True))
    yield f"{name}_sum {histogram.sum:.15g}"
    yield f"{name}_count {totals[-1]}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
