"""managedFields entries: what updates take and leave, their order, the cap, and conflicts in words."""

from __future__ import annotations

from typing import Any

from netsim.api.fieldset import union
from netsim.api.managed import (
    Conflict,
    Entry,
    Writer,
    after_update,
    capped,
    choose_entries,
    conflict_error,
    ordered,
)

NOW, THEN = "2026-01-01T00:00:09Z", "2026-01-01T00:00:00Z"


def fields(*names: str) -> dict[str, Any]:
    return {"f:data": {f"f:{name}": {} for name in names}}


def entry(manager: str, *names: str, time: str = THEN, **more: str) -> Entry:
    writer = Writer(manager, more.get("version", "v1"), more.get("operation", "Update"), more.get("subresource", ""))
    return writer.entry(fields(*names), time)


def owned(entries: list[Entry]) -> dict[str, set[str]]:
    return {e["manager"]: {name[2:] for name in e["fieldsV1"]["f:data"]} for e in entries}


def test_an_update_takes_what_it_sets_from_everybody() -> None:
    before = [entry("a", "x", "y", operation="Apply"), entry("b", "z")]
    after = after_update(before, Writer("c", "v1"), fields("x", "z"), {}, NOW)
    assert owned(after) == {"a": {"y"}, "c": {"x", "z"}}
    assert [e["time"] for e in after] == [THEN, NOW]


def test_an_update_drops_what_it_removes() -> None:
    before = [entry("a", "x", "y"), entry("b", "y", operation="Apply")]
    after = after_update(before, Writer("a", "v1"), {}, fields("y"), NOW)
    assert owned(after) == {"a": {"x"}}
    assert after[0]["time"] == THEN, "only setting a field renews the time"


def test_the_same_manager_keeps_one_entry_per_operation_version_and_subresource() -> None:
    writer = Writer("a", "v1")
    after = after_update([entry("a", "x")], writer, fields("x", "y"), {}, NOW)
    assert len(after) == 1 and owned(after) == {"a": {"x", "y"}} and after[0]["time"] == NOW
    for other in (Writer("a", "v2"), Writer("a", "v1", subresource="status"), Writer("a", "v1", "Apply")):
        assert len(after_update(after, other, fields("z"), {}, NOW)) == 2


def test_entries_that_did_not_change_are_the_same_objects() -> None:
    before = [entry("a", "x"), entry("b", "y")]
    after = after_update(before, Writer("b", "v1"), fields("y"), {}, NOW)
    assert after[0] is before[0]
    assert after[1]["fieldsV1"] is before[1]["fieldsV1"] and after[1]["time"] == NOW


def test_applies_come_first_then_the_older() -> None:
    late, early = entry("a", "x", time=NOW), entry("b", "y", time=THEN)
    applied = entry("c", "z", time=NOW, operation="Apply")
    assert ordered([late, early, applied]) == [applied, early, late]


def test_more_than_ten_updaters_leave_ancient_changes() -> None:
    many = [entry(f"m{n:02}", f"x{n}", time=f"2026-01-01T00:00:{n:02}Z") for n in range(13)]
    kept = capped([*many, entry("other", "o", version="v2"), entry("a", "z", operation="Apply")])
    ancient = next(e for e in kept if e["manager"] == "ancient-changes")
    assert sum(e["operation"] == "Update" for e in kept) == 10
    assert owned([ancient]) == {"ancient-changes": {"x0", "x1", "x2", "x3", "x4"}}
    assert ancient["time"] == many[4]["time"] and ancient["apiVersion"] == "v1"
    everything: dict[str, Any] = {}
    for e in kept:
        everything = union(everything, e["fieldsV1"])
    assert everything == fields(*(f"x{n}" for n in range(13)), "o", "z")
    assert capped(many[:10]) == many[:10]


def test_which_entries_a_write_starts_from() -> None:
    live, other = [entry("a", "x")], [entry("b", "y")]
    assert choose_entries(live, None, "") is live
    assert choose_entries(live, other, "") == other
    assert choose_entries(live, other, "status") is live
    assert choose_entries(live, [], "") == choose_entries(live, [{}], "") == []
    for junk in (
        [{"manager": "a"}],
        [{**other[0], "operation": "Guess"}],
        [{**other[0], "fieldsV1": {"x": {}}}],
        "junk",
    ):
        assert choose_entries(live, junk, "") is live


def test_conflicts_in_words() -> None:
    one = conflict_error([Conflict(entry("m1", "a", operation="Apply"), fields("a"))])
    assert (one.code, one.reason) == (409, "Conflict")
    assert one.message == 'Apply failed with 1 conflict: conflict with "m1": .data.a'
    assert one.details == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".data.a"}]
    }
    several = conflict_error(
        [
            Conflict(entry("kubectl-edit", "a", version="apps/v1"), fields("a", "b")),
            Conflict(entry("hpa", "c", version="apps/v1", subresource="scale"), fields("c")),
        ]
    )
    assert several.message == (
        "Apply failed with 3 conflicts: "
        'conflicts with "hpa" with subresource "scale" using apps/v1:\n- .data.c\n'
        'conflicts with "kubectl-edit" using apps/v1:\n- .data.a\n- .data.b'
    )


def test_conflicts_at_one_level_come_before_those_below_it() -> None:
    owned = {"f:env": {'k:{"name":"e"}': {"f:value": {}}}, "f:image": {}, "f:ports": {".": {}, "f:x": {}}}
    error = conflict_error([Conflict({**entry("m", operation="Apply"), "fieldsV1": owned}, owned)])
    assert error.details is not None
    named = [cause["field"] for cause in error.details["causes"]]
    assert named == [".image", ".ports", '.env[name="e"].value', ".ports.x"]
