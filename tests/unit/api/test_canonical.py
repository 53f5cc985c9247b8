"""Amounts and times have one text, whatever the one a client wrote: what Go's types make of them."""

from __future__ import annotations

import pytest

from netsim.api import kinds, schema
from netsim.api.quantity import canonical_quantity
from netsim.api.schema_fit import fits


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("0.5", "500m"), ("1000m", "1"), ("1500m", "1500m"), ("1000", "1k"), ("1500", "1500"), ("1000000", "1M"),
        ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("1023Ki", "1023Ki"), ("0.5Ki", "512"), ("1.5Ki", "1536"),
        ("0Mi", "0"), ("1e3", "1e3"), ("12E4", "120e3"), ("-1000m", "-1"), ("+01", "1"), ("0.1n", "1n"),
        ("128974848", "128974848"), ("1E30", "1E30"), ("10e29", "1e30"),
        ("10000000000000Mi", "9223372036854775807"), (5, "5"), (0.25, "250m"),
    ],
)  # fmt: skip
def test_amounts_have_one_text(given: str | float, canonical: str) -> None:
    assert canonical_quantity(given) == canonical
    assert canonical_quantity(canonical) == canonical


def test_a_decoder_writes_amounts_and_times_its_way() -> None:
    lease = {"spec": {"renewTime": "2026-01-01T01:00:00.000000+01:00", "leaseDurationSeconds": 5}}
    assert not fits(kinds.LEASES, lease)
    kept = schema.prune(kinds.LEASES, lease)
    assert kept["spec"]["renewTime"] == "2026-01-01T00:00:00.000000Z"
    assert fits(kinds.LEASES, kept)
    event = schema.prune(kinds.EVENTS, {"firstTimestamp": "2026-01-01T00:00:00.987654Z"})
    assert event == {"firstTimestamp": "2026-01-01T00:00:00Z"}


def test_a_time_that_no_calendar_has_in_utc_is_left_alone() -> None:
    event = {"firstTimestamp": "0001-01-01T00:00:00+01:00"}
    assert schema.prune(kinds.EVENTS, event) == event
