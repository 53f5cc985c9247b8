"""Which objects of a kind a list or watch is about: namespace, label and field selectors (pure)."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from netsim.api import fields
from netsim.api.errors import bad_request
from netsim.api.kinds import PODS, Kind, Obj
from netsim.api.objects import labels_of
from netsim.api.selectors import (
    FieldSelector,
    LabelSelector,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
)  # fmt: skip
from netsim.server.codec import key_of, prefix_of
from netsim.server.views import shown_form


@dataclass(frozen=True, slots=True)
class Selection:
    """A compiled selection. `prefix` is the key prefix, `exact` the whole key when one name is asked for; `needle` is
    in the stored bytes of everything selected, and so tells at once of most objects that they are not."""

    kind: Kind
    labels: LabelSelector
    fields: FieldSelector
    prefix: str
    exact: str = ""
    needle: bytes = b""

    @property
    def everything(self) -> bool:
        """True when nothing within the prefix is left out."""
        return self.labels.empty and not self.fields.requirements

    @property
    def single(self) -> bool:
        """True when it asks for one object by its name alone: whatever has that key matches."""
        return bool(self.exact) and self.labels.empty and len(self.fields.requirements) == 1

    def matches(self, obj: Obj) -> bool:
        if not self.labels.matches(labels_of(obj)):
            return False
        if not self.fields.requirements:
            return True
        return self.fields.matches(shown_form(self.kind, obj), fields.reader(self.kind))


def compile_selection(kind: Kind, namespace: str, label_selector: str, field_selector: str) -> Selection:
    """The selection for a list or watch; 400 for selectors that cannot be read or name unsupported fields."""
    try:
        labels = parse_label_selector(label_selector)
    except SelectorError as error:
        text = str(error)
        raise bad_request(
            text if text.startswith("unable to parse") else f"unable to parse requirement: {text}"
        ) from None
    try:
        chosen = parse_field_selector(field_selector)
        fields.check_field_selector(kind, chosen)
    except SelectorError as error:
        raise bad_request(str(error)) from None
    space = namespace or (chosen.exact("metadata.namespace") or "" if kind.namespaced else "")
    name = chosen.exact("metadata.name") or ""
    exact = key_of(kind, space, name) if name and (space or not kind.namespaced) else ""
    return Selection(kind, labels, chosen, prefix_of(kind, space), exact, _needle(kind, chosen))


def _needle(kind: Kind, chosen: FieldSelector) -> bytes:
    """What every agent asks for: the pods of one node."""
    node = chosen.exact("spec.nodeName") if kind is PODS else None
    return b'"nodeName":' + orjson.dumps(node) if node else b""
