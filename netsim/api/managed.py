"""metadata.managedFields: who owns which fields, and what a write does to that (KEP-555; pure).

An entry is identified by manager, operation, subresource and, for updates, apiVersion. An update takes the fields it
sets from everybody and removes from everybody those it removes; an apply owns just what its configuration names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import orjson

from netsim.api.errors import Cause, StatusError
from netsim.api.fieldset import FieldSet, difference, is_field_set, paths, render_path, union

Obj = dict[str, Any]
Entry = dict[str, Any]
Scope = Callable[[FieldSet], FieldSet]
"""Cuts a set down to what a write to one subresource may change."""

APPLY, UPDATE = "Apply", "Update"
MAX_UPDATERS = 10
ANCIENT = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"
UNRECORDED = frozenset(
    (
        "name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation", "managedFields", "selfLink",
        "clusterName",
    )
)  # fmt: skip
"""The metadata that only the server sets."""


class Writer(NamedTuple):
    """Who writes how: the identity of the entry that a write is recorded in."""

    manager: str
    api_version: str
    operation: str = UPDATE
    subresource: str = ""

    def wrote(self, entry: Entry) -> bool:
        """Whether an entry is this writer's."""
        return (
            entry.get("manager") == self.manager
            and entry["operation"] == self.operation
            and entry.get("subresource", "") == self.subresource
            and (self.operation == APPLY or entry["apiVersion"] == self.api_version)
        )

    def entry(self, fields: FieldSet, time: str | None) -> Entry:
        """The writer's entry; `time` is left out when there is none."""
        entry: Entry = {"manager": self.manager, "operation": self.operation, "apiVersion": self.api_version}
        if time is not None:
            entry["time"] = time
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": fields}
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


def recorded(obj: Obj) -> Obj:
    """The part of an object that has owners: neither its type nor the metadata that only the server sets."""
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key not in UNRECORDED}
    rest = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion", "metadata")}
    return {**rest, "metadata": metadata} if metadata else rest


def is_entry(entry: Any) -> bool:
    """Whether a value is a usable entry."""
    return (
        isinstance(entry, dict)
        and entry.get("operation") in (APPLY, UPDATE)
        and bool(entry.get("apiVersion"))
        and entry.get("fieldsType") == "FieldsV1"
        and is_field_set(entry.get("fieldsV1", {}))
        and all(isinstance(entry.get(name, ""), str) for name in ("manager", "apiVersion", "time", "subresource"))
    )


def choose_entries(live: list[Entry], given: Any, subresource: str) -> list[Entry]:
    """The entries a write starts from: those it gives, where it gives usable ones to the main resource, else the live
    ones. `[]` and `[{}]` clear them."""
    if subresource or given is None or given is live:
        return live
    if given in ([], [{}]):
        return []
    if isinstance(given, list) and given != live and all(map(is_entry, given)):
        return [{"fieldsV1": {}, **entry} for entry in given]
    return live


def after_update(entries: list[Entry], writer: Writer, changed: FieldSet, removed: FieldSet, now: str) -> list[Entry]:
    """The entries after an update that set `changed` and removed `removed`; without a time if `now` is ""."""
    after = [_updated(entry, writer, changed, removed, now) for entry in entries]
    if changed and not any(map(writer.wrote, entries)):
        after.append(writer.entry(changed, now or None))
    return ordered(capped([entry for entry in after if entry["fieldsV1"]]))


def _updated(entry: Entry, writer: Writer, changed: FieldSet, removed: FieldSet, now: str) -> Entry:
    fields = entry["fieldsV1"]
    rest = difference(fields, removed)
    if not writer.wrote(entry):
        rest = difference(rest, changed)
        return entry if rest is fields else {**entry, "fieldsV1": rest}
    if changed:
        return {**entry, **({"time": now} if now else {}), "fieldsV1": union(rest, changed)}
    return entry if rest is fields else {**entry, "fieldsV1": rest}


def capped(entries: list[Entry]) -> list[Entry]:
    """With more than ten updaters, the oldest are merged into one entry per apiVersion."""
    if len(entries) <= MAX_UPDATERS:
        return entries
    updaters = sorted(
        (entry for entry in entries if entry["operation"] == UPDATE),
        key=lambda entry: (entry.get("time", ""), entry.get("manager", ""), entry["apiVersion"]),
    )
    surplus = len(updaters) - MAX_UPDATERS
    merged: dict[str, list[Entry]] = {}
    for entry in updaters:
        if surplus <= 0:
            break
        group = merged.setdefault(entry["apiVersion"], [])
        group.append(entry)
        surplus -= len(group) > 1
    gone = [entry for group in merged.values() if len(group) > 1 for entry in group]
    kept = [entry for entry in entries if not any(entry is old for old in gone)]
    return kept + [_ancient(version, group) for version, group in merged.items() if len(group) > 1]


def _ancient(version: str, group: list[Entry]) -> Entry:
    fields: FieldSet = {}
    for entry in group:
        fields = union(fields, entry["fieldsV1"])
    return Writer(ANCIENT, version).entry(fields, group[-1].get("time"))


def ordered(entries: list[Entry]) -> list[Entry]:
    """Entries as they are written: applies before updates, older before newer."""
    return sorted(entries, key=_rank) if len(entries) > 1 else entries


def _rank(entry: Entry) -> tuple[str, ...]:
    time, manager, subresource = entry.get("time", ""), entry.get("manager", ""), entry.get("subresource", "")
    return (entry["operation"], time, manager, entry["apiVersion"], subresource)


# --- conflicts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Conflict:
    """Fields whose value a configuration changes, and the entry of somebody else that owns them."""

    entry: Entry
    fields: FieldSet


def describe(entry: Entry) -> str:
    """An entry's writer in the words of a conflict."""
    text = _quoted(entry.get("manager", ""))
    if entry.get("subresource"):
        text += f" with subresource {_quoted(entry['subresource'])}"
    return f"{text} using {entry['apiVersion']}" if entry["operation"] == UPDATE else text


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def conflict_error(conflicts: list[Conflict]) -> StatusError:
    """The 409 of an apply that would change what others own."""
    found = [
        (describe(conflict.entry), render_path(path))
        for conflict in sorted(conflicts, key=lambda conflict: describe(conflict.entry))
        for path in paths(conflict.fields)
    ]
    causes = [Cause("FieldManagerConflict", f"conflict with {who}", where) for who, where in found]
    if len(found) == 1:
        message = f"Apply failed with 1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        lines: list[str] = []
        for index, (who, where) in enumerate(found):
            if index == 0 or found[index - 1][0] != who:
                lines.append(f"conflicts with {who}:")
            lines.append(f"- {where}")
        message = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    details = {"causes": [asdict(cause) for cause in causes]}
    return StatusError(409, "Conflict", message, details)
