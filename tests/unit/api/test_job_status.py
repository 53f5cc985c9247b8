"""Rules of a Job's status: the texts are a real API server's answers to the same changes."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.validation import validate_update
from support.examples import BASES

Obj = dict[str, Any]
INDEXED = {"completionMode": "Indexed", "completions": 10, "parallelism": 2, "backoffLimitPerIndex": 1}
ELASTIC = {"completionMode": "Indexed", "completions": 3, "parallelism": 3, "successPolicy": {"rules": []}}
DAY, NEXT = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
RUNNING = {"startTime": DAY, "active": 2, "ready": 2, "succeeded": 3, "failed": 2}
NO_ORDER = "non-increasing order, previous:"
NOT_INDEXED = "cannot set non-empty completedIndexes when non-indexed completion mode"
NO_CRITERIA = (
    "conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
)
NO_POLICY = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
NOT_COMPLETE = "cannot set completionTime when there is no Complete=True condition"
TOO_LATE = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"


def true(*types: str) -> list[Obj]:
    return [{"type": kind, "status": "True"} for kind in types]


DONE = {"startTime": DAY, "completionTime": NEXT, "conditions": true("SuccessCriteriaMet", "Complete")}


def told(spec: Obj, old: Obj, new: Obj) -> list[str]:
    """What is wrong with a status of which `new` is changed; None takes away."""
    base = BASES[kinds.JOBS]
    job = {**base, "spec": {**base["spec"], **spec}}
    status = {key: value for key, value in {**old, **new}.items() if value is not None}
    found = validate_update(kinds.JOBS, {**job, "status": status}, {**job, "status": old})
    return [f"{cause.field.removeprefix('status.')}: {cause.message}" for cause in found if "status" in cause.field]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1,2-3,5", ""),
        ("+3", ""),
        ("1-1", f"{NO_ORDER} 1, current: 1"),
        ("2,1", f"{NO_ORDER} 2, current: 1"),
        ("a", 'cannot convert string to integer for index: "a"'),
        ("1,,2", 'cannot convert string to integer for index: ""'),
        ("-1", 'cannot convert string to integer for index: ""'),
        ("9" * 5000, f'cannot convert string to integer for index: "{"9" * 5000}"'),
        ("5-11", 'too large index: "11"'),
        (
            "1-2-3",
            'the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated '
            "by '-'",
        ),
    ],
)
def test_lists_of_indexes(text: str, why: str) -> None:
    for field in ("completedIndexes", "failedIndexes"):
        wanted = [f'{field}: Invalid value: "{text}": error parsing {field}: {why}'] if why else []
        assert told(INDEXED, {}, {field: text}) == wanted


@pytest.mark.parametrize(
    ("spec", "old", "new", "wanted"),
    [
        (INDEXED, {}, {"active": -1, "ready": -2}, [
            "active: Invalid value: -1: must be greater than or equal to 0",
            "ready: Invalid value: -2: must be greater than or equal to 0",
        ]),
        (INDEXED, {}, {"completedIndexes": "1-5", "failedIndexes": "0,3-7"}, [
            'failedIndexes: Invalid value: "0,3-7": failedIndexes and completedIndexes overlap at index: 3',
        ]),
        ({}, {}, {"completedIndexes": "0", "failedIndexes": "1"}, [
            f'completedIndexes: Invalid value: "0": {NOT_INDEXED}',
            'failedIndexes: Invalid value: "1": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
        ]),
        ({}, {}, {"uncountedTerminatedPods": {"succeeded": ["a", "a"], "failed": ["a", ""]}}, [
            'uncountedTerminatedPods.succeeded[1]: Duplicate value: "a"',
            'uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
            'uncountedTerminatedPods.failed[1]: Invalid value: "": must not be empty',
        ]),
        ({}, RUNNING, {"failed": 1, "succeeded": 2, "startTime": NEXT, "ready": 3}, [
            "ready: Invalid value: 3: cannot set more ready pods than active",
            "failed: Invalid value: 1: cannot decrease the failed counter",
            "succeeded: Invalid value: 2: cannot decrease the succeeded counter",
            f'startTime: Invalid value: "{NEXT}": field is immutable for unsuspended job once set',
        ]),
        (ELASTIC, RUNNING, {"succeeded": 1}, []),
        ({"suspend": True}, RUNNING, {"startTime": None}, []),
        ({}, {"startTime": DAY, "conditions": true("Suspended")},
         {"startTime": NEXT, "conditions": [{"type": "Suspended", "status": "False"}]}, []),
        ({}, RUNNING, {"completionTime": "2025-01-01T00:00:00Z"}, [
            'completionTime: Invalid value: "2025-01-01T00:00:00Z": cannot set completionTime when there is no '
            "Complete=True condition",
            'completionTime: Invalid value: "2025-01-01T00:00:00Z": must be equal to or after `startTime`',
        ]),
        ({}, {}, {"active": 1, "ready": 2, "conditions": true("Failed", "Complete")}, [
            "conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
            "completionTime: Required value: completionTime is required for Complete jobs",
            "conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
            NO_CRITERIA,
            "active: Invalid value: 1: active>0 is invalid for finished job",
            "startTime: Required value: startTime is required for finished job",
            "ready: Invalid value: 2: cannot set more ready pods than active",
        ]),
        ({}, RUNNING, {"conditions": true("SuccessCriteriaMet", "FailureTarget")}, [
            "conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ]),
        ({}, {"startTime": DAY}, {"conditions": true("Failed", "FailureTarget"), "terminating": 1,
                                  "uncountedTerminatedPods": {"succeeded": ["a"]}}, [
            'uncountedTerminatedPods: Invalid value: {"Succeeded":["a"],"Failed":null}: must be empty for finished job',
            "terminating: Invalid value: 1: terminating>0 is invalid for finished job",
        ]),
        ({}, {"startTime": DAY}, {k: v for k, v in DONE.items() if k != "startTime"}, []),
        ({}, DONE, {"completionTime": DAY}, [f'completionTime: Invalid value: "{DAY}": field is immutable']),
        ({}, DONE, {"conditions": []}, [
            f'completionTime: Invalid value: "{NEXT}": {NOT_COMPLETE}',
            "conditions: Invalid value: cannot disable the terminal Complete=True condition",
            "conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
        ]),
        (ELASTIC, {"startTime": DAY}, {"completionTime": NEXT, "conditions": true("Complete")}, [
            NO_CRITERIA,
            f"conditions: Invalid value: {NO_POLICY}",
        ]),
        ({}, {**DONE, "conditions": true("Complete")}, {"conditions": DONE["conditions"]}, [
            f"conditions: Invalid value: {TOO_LATE}",
        ]),
    ],
)  # fmt: skip
def test_statuses(spec: Obj, old: Obj, new: Obj, wanted: list[str]) -> None:
    assert told(spec, old, new) == wanted


def test_what_was_wrong_before_and_is_not_touched_is_let_be() -> None:
    wrong = {"completedIndexes": "99", "conditions": true("Complete"), "active": 0}
    assert told(INDEXED, wrong, {"failed": 1}) == []
