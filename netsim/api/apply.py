"""Server-side apply: one manager's configuration into the live object (KEP-555; pure).

The configuration's values are set; what this manager applied before, does not name now and nobody else owns is
removed; changing a value that somebody else owns is a conflict unless forced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from netsim.api.configure import merge, remove, without_nulls
from netsim.api.fieldset import FieldSet, difference, intersection, union
from netsim.api.fieldtypes import FieldType
from netsim.api.fieldwalk import compare, named_fields, with_structs
from netsim.api.managed import (
    BEFORE_FIRST_APPLY,
    UPDATE,
    Conflict,
    Entry,
    Scope,
    Writer,
    after_update,
    ordered,
    recorded,
)

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome: the object without managedFields, its entries, and the conflicts that stand against it."""

    obj: Obj
    entries: list[Entry]
    conflicts: list[Conflict]


class Applier(NamedTuple):
    """One apply: the object's type and empty form, who applies, what the (sub)resource lets it own, and when."""

    kind: FieldType
    empty: Obj
    writer: Writer
    scope: Scope
    now: str

    def changes(self, old: Obj, new: Obj) -> tuple[FieldSet, FieldSet]:
        """(fields set, fields removed) between two objects, as far as they are recorded."""
        changed, removed = compare(self.kind, recorded(old), recorded(new), self.empty)
        return self.scope(changed or {}), self.scope(removed or {})

    def apply(self, live: Obj | None, config: Obj, entries: list[Entry]) -> Applied:
        """Merge the configuration into the live object (None: there is none yet)."""
        if live is not None and not entries:
            entries = self._before_first_apply(live)
        own = next((entry for entry in entries if self.writer.wrote(entry)), None)
        others = [entry for entry in entries if entry is not own]
        fields = self.scope(named_fields(self.kind, recorded(config)))
        merged = config if live is None else merge(self.kind, live, config)
        if own is not None:
            merged = self._pruned(merged, own["fieldsV1"], config, others)
        changed, removed = self.changes(live or {}, merged)
        held = [(entry, intersection(entry["fieldsV1"], changed)) for entry in others]
        kept = [
            rest for rest in (_lost(entry, union(taken, removed)) for entry, taken in held) if rest["fieldsV1"]
        ]  # fmt: skip
        if fields:
            kept.append(self._entry(own, fields, changed=bool(live is None or changed or removed)))
        return Applied(without_nulls(merged), ordered(kept), [Conflict(entry, taken) for entry, taken in held if taken])

    def _before_first_apply(self, live: Obj) -> list[Entry]:
        writer = self.writer._replace(manager=BEFORE_FIRST_APPLY, operation=UPDATE)
        changed, _ = self.changes({}, live)
        return after_update([], writer, changed, {}, self.now)

    def _entry(self, own: Entry | None, fields: FieldSet, *, changed: bool) -> Entry:
        if (
            own is not None
            and not changed
            and own["fieldsV1"] == fields
            and self.writer.api_version == own["apiVersion"]
        ):
            return own
        return self.writer.entry(fields, self.now if changed else (own or {}).get("time"))

    def _pruned(self, merged: Obj, last: FieldSet, config: Obj, others: list[Entry]) -> Obj:
        """Without what was applied last time, is not now, and nobody owns."""
        last = with_structs(self.kind, last)
        owned = named_fields(self.kind, config)
        for entry in others:
            owned = union(owned, entry["fieldsV1"])
        owned = with_structs(self.kind, owned)
        everything = with_structs(self.kind, named_fields(self.kind, merged))
        cut: Obj = remove(self.kind, merged, last) or {}
        left = with_structs(self.kind, named_fields(self.kind, cut))
        cut = remove(self.kind, merged, difference(everything, union(left, owned))) or {}
        left = with_structs(self.kind, named_fields(self.kind, cut))
        return remove(self.kind, merged, intersection(difference(everything, left), last)) or {}


def _lost(entry: Entry, gone: FieldSet) -> Entry:
    rest = difference(entry["fieldsV1"], gone)
    return entry if rest is entry["fieldsV1"] else {**entry, "fieldsV1": rest}


def agreeing(kind: FieldType, config: Obj, live: Obj) -> FieldSet:
    """The fields a configuration names whose values the live object still has."""
    changed, removed = compare(kind, config, live)
    return difference(difference(named_fields(kind, config), changed or {}), removed or {})
