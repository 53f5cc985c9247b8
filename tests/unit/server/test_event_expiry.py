"""Events live for an hour after their last change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from netsim.server.event_expiry import delete_expired, is_expired

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event", "expired"),
    [
        ({"lastTimestamp": "2026-01-01T10:59:59Z"}, True),
        ({"lastTimestamp": "2026-01-01T11:00:01Z", "metadata": {"creationTimestamp": "2026-01-01T01:00:00Z"}}, False),
        ({"eventTime": "2026-01-01T10:00:00.000000Z", "series": {"lastObservedTime": "2026-01-01T11:30:00Z"}}, False),
        ({"metadata": {"creationTimestamp": "2026-01-01T10:00:00Z"}}, True),
        ({}, False),
    ],
)
def test_age_counts_from_the_last_change(event: dict[str, Any], expired: bool) -> None:
    assert is_expired(event, NOW) is expired


async def test_only_old_ones_are_deleted(api: Any) -> None:
    path = "/api/v1/namespaces/default/events"
    for name in ("old", "new"):
        about = {"kind": "Pod", "namespace": "default", "name": "p"}
        await api.post(path, {"metadata": {"name": name}, "involvedObject": about})
        if name == "old":
            api.clock.move(3601)
    assert await delete_expired(api.app.core) == 1
    assert [item["metadata"]["name"] for item in (await api.get(path))["items"]] == ["new"]
    assert await delete_expired(api.app.core) == 0
