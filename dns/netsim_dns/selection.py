"""Which objects are answered from, and under which names: what CoreDNS's `namespaces`, `labels`, `noendpoints` and
`endpoint_pod_names` say. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from netsim.api.selectors import SelectorError, parse_label_selector

from .config import ConfigError, DnsConfig
from .index import VIEWS
from .records import Obj, view_slice

View = Callable[[Obj], Any]
LABELLED = ("Service", "EndpointSlice", "Pod")


def select_views(config: DnsConfig) -> Mapping[str, View]:
    """The view of each kind of object, None for one that is not to be answered from. Raises ConfigError."""
    views: dict[str, View] = dict(VIEWS)
    if config.endpoint_pod_names:
        views["EndpointSlice"] = partial(view_slice, pod_names=True)
    if not config.endpoints:
        views["EndpointSlice"] = _nothing
    if config.labels:
        fits = _labelled(config.labels, "labels")
        views |= {kind: _only(fits, views[kind]) for kind in LABELLED}
    if config.namespace_labels:
        views["Namespace"] = _only(_labelled(config.namespace_labels, "namespace-labels"), views["Namespace"])
    if config.namespaces:
        fits = _in_namespaces(frozenset(config.namespaces))
        views = {kind: _only(fits, view) for kind, view in views.items()}
    return views


def _only(fits: Callable[[Obj], bool], view: View) -> View:
    return lambda obj: view(obj) if fits(obj) else None


def _nothing(_obj: Obj) -> None:
    return None


def _in_namespaces(namespaces: frozenset[str]) -> Callable[[Obj], bool]:
    return lambda obj: obj["metadata"].get("namespace", obj["metadata"]["name"]) in namespaces


def _labelled(text: str, option: str) -> Callable[[Obj], bool]:
    try:
        selector = parse_label_selector(text)
    except SelectorError as failure:
        raise ConfigError(f"dns {option}: {failure}; use a selector such as app=web") from None
    return lambda obj: selector.matches(obj["metadata"].get("labels") or {})
