"""What the conditions of a CertificateSigningRequest may become, in Kubernetes' words."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.validation import validate_update

CSR = kinds.CERTIFICATE_SIGNING_REQUESTS
SPEC = {
    "request": base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----\n").decode(),
    "signerName": "example.com/signer",
    "usages": ["client auth"],
}
EXCLUSIVE = "Approved and Denied conditions are mutually exclusive"


def with_conditions(*types: str, status: str = "True") -> dict[str, Any]:
    metadata = {"name": "r", "uid": "u", "resourceVersion": "1"}
    conditions = [{"type": kind, "status": status} for kind in types]
    return {"metadata": metadata, "spec": SPEC, "status": {"conditions": conditions}}


def told(new: dict[str, Any], *before: str) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in validate_update(CSR, new, with_conditions(*before))]


@pytest.mark.parametrize("kind", ["Approved", "Denied", "Failed"])
def test_a_decision_is_never_taken_back(kind: str) -> None:
    why = f'Forbidden: updates may not remove a condition of type "{kind}"'
    assert told(with_conditions("Other"), kind, "Other") == [("status.conditions", why)]
    assert told(with_conditions(kind), kind, "Other") == []


def test_nor_swapped_for_the_other_or_contradicted() -> None:
    why = 'Forbidden: updates may not remove a condition of type "Approved"'
    assert told(with_conditions("Denied"), "Approved") == [("status.conditions", why)]
    both = with_conditions("Approved", "Denied")
    assert told(both, "Approved") == [("status.conditions", f'Invalid value: "Denied": {EXCLUSIVE}')]
    assert told(with_conditions("Approved", "Denied", "Failed"), "Approved", "Denied") == []


def test_what_a_condition_is() -> None:
    refused = [("status.conditions[0].status", 'Unsupported value: "False": supported values: "True"')]
    assert told(with_conditions("Approved", status="False")) == refused
    assert told(with_conditions("Other", status="False")) == []
    assert told(with_conditions("Other", "Other")) == [("status.conditions[1].type", 'Duplicate value: "Other"')]
    fields = ("status.conditions[0].type", "status.conditions[0].status")
    assert told(with_conditions("", status="")) == [(field, "Required value") for field in fields]
