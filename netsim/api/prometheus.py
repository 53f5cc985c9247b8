"""Prometheus' text format 0.0.4, in which the agents and the server tell of themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

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
        yield f"{name}{{{listed}}} {value:.10g}{stamp}" if listed else f"{name} {value:.10g}{stamp}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
