"""Content negotiation: which representation an Accept header gets (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from netsim.api.errors import StatusError, not_acceptable

_TYPES = {
    "Table": ("meta.k8s.io", ("v1", "v1beta1")),
    "PartialObjectMetadata": ("meta.k8s.io", ("v1", "v1beta1")),
    "APIGroupDiscoveryList": ("apidiscovery.k8s.io", ("v2", "v2beta1")),
}
"""Group and versions in which a transformation can be answered; for another one the next acceptable form is taken."""
_AVAILABLE = ("application/json", "application/yaml")


@dataclass(frozen=True, slots=True)
class Format:
    """A representation: `shape` is "" (the object), "Table", "PartialObjectMetadata" or "APIGroupDiscoveryList" in
    `version` of its group; `yaml` instead of JSON. `listed` tells PartialObjectMetadataList from the shape of one."""

    shape: str = ""
    version: str = ""
    yaml: bool = False
    listed: bool = False


JSON = Format()


class _Entry(NamedTuple):
    """What an Accept header lists."""

    media: str
    parameters: dict[str, str]

    @property
    def order(self) -> tuple[float, bool, bool]:
        """The more a client wants it (q, which is 0 if it is no number) the sooner, of the same what says more."""
        kind, _, subtype = self.media.partition("/")
        try:
            quality = float(self.parameters.get("q", 1))
        except ValueError:
            quality = 0.0
        return -quality, kind == "*", subtype == "*"


def _parse(entry: str) -> _Entry:
    media, *parameters = [part.strip() for part in entry.split(";")]
    pairs = (parameter.partition("=") for parameter in parameters)
    return _Entry(media.lower(), {key.strip(): value.strip() for key, _, value in pairs})


def _shape(parameters: dict[str, str], shapes: Iterable[str]) -> Format | None:
    wanted = parameters.get("as", "")
    if not wanted:
        return JSON
    listed = wanted == "PartialObjectMetadataList"
    if listed:
        wanted = "PartialObjectMetadata"
    group, version = parameters.get("g", ""), parameters.get("v", "")
    if wanted not in shapes or group != _TYPES[wanted][0] or version not in _TYPES[wanted][1]:
        return None
    return Format(wanted, version, listed=listed)


@lru_cache(64)
def choose_format(accept: str, shapes: tuple[str, ...] = ()) -> Format:
    """The first acceptable representation in the order of how much the client wants them, or else lists them.

    `shapes` are the transformations this path can do. An empty header or one with only */* gets JSON; a list without
    anything we can write raises the 406.
    """
    if not accept:
        return JSON
    other_form = False
    for media, parameters in sorted(map(_parse, accept.split(",")), key=lambda entry: entry.order):
        if media in ("application/json", "application/*", "*/*"):
            found = _shape(parameters, shapes)
            if found is not None:
                return found
            other_form = True
        elif media == "application/yaml":
            found = _shape(parameters, shapes)
            if found is not None:
                return replace(found, yaml=True)
            other_form = True
    if other_form:
        raise StatusError(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(_AVAILABLE)}")
    raise not_acceptable(_AVAILABLE)


def error_format(accept: str) -> Format:
    """The representation of a refusal: YAML where that is what the client wants most, else JSON."""
    try:
        return choose_format(accept)
    except StatusError:
        return JSON


def check_watch(form: Format) -> None:
    """406 for a watch in YAML: its events cannot be told apart."""
    if form.yaml:
        raise StatusError(
            406, "NotAcceptable", "only the following media types are accepted: application/json;stream=watch"
        )
