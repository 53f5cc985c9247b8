"""The election as a decision on values; tests/contract/test_servers.py has two candidates on real servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netsim.client.leader import Candidate, Timing, decide, held_lease


def lease(holder: str, seconds: int = 15) -> dict[str, Any]:
    return {
        "metadata": {"name": "x", "resourceVersion": "7"},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": seconds,
            "acquireTime": "then",
            "leaseTransitions": 3,
        },
    }


@pytest.mark.parametrize(
    ("found", "seen_for", "expected"),
    [
        (None, 0, "take"),
        (lease(""), 0, "take"),
        (lease("me"), 99, "renew"),
        (lease("other"), 14.9, "wait"),
        (lease("other"), 15, "take"),
        (lease("other", 0), 0, "take"),
    ],
)
def test_decision(found: dict[str, Any] | None, seen_for: float, expected: str) -> None:
    assert decide(found, "me", seen_for) == expected


def test_lease_that_is_renewed_taken_over_or_made() -> None:
    renewed = held_lease(lease("me"), "x", "me", Timing(), "now")
    assert renewed["metadata"]["resourceVersion"] == "7"
    assert (renewed["spec"]["acquireTime"], renewed["spec"]["renewTime"]) == ("then", "now")
    assert renewed["spec"]["leaseTransitions"] == 3
    taken = held_lease(lease("other"), "x", "me", Timing(), "now")["spec"]
    assert (taken["holderIdentity"], taken["acquireTime"], taken["leaseTransitions"]) == ("me", "now", 4)
    made = held_lease(None, "x", "me", Timing(), "now")
    assert made["metadata"] == {"name": "x", "namespace": "kube-system"}
    assert (made["spec"]["leaseTransitions"], made["spec"]["leaseDurationSeconds"]) == (0, 15)


def test_the_deadline_leaves_time_before_the_lease_ends() -> None:
    timing = Timing()
    assert timing.deadline + timing.retry < timing.lease


class TakenOver:
    """The Lease is ours once; then somebody else's."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None

    async def get(self, *_: Any) -> dict[str, Any]:
        self.lease, found = lease("other"), self.lease or lease("me")
        return found

    async def update(self, kind: Any, obj: dict[str, Any]) -> dict[str, Any]:
        return obj


async def test_who_has_lost_the_lease_stops_at_once() -> None:
    """Not only when it would have tried again."""
    candidate = Candidate(TakenOver(), "x", "me", Timing(lease=900, deadline=600, retry=300))  # type: ignore[arg-type]
    assert await candidate._attempt()
    assert candidate.leading
    assert not await asyncio.wait_for(candidate._renewed(), 5)
    assert not candidate.leading
