"""What the conditions of a CertificateSigningRequest may become, in Kubernetes' words."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from netsim.api import kinds
from netsim.api.pem import decode_pem
from netsim.api.validation import validate_create, validate_update

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


def built(key: Any) -> bytes:
    """A request in DER."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


RSA = built(rsa.generate_private_key(65537, 2048))
CURVE = built(ec.generate_private_key(ec.SECP256R1()))


def block(data: bytes, name: str = "CERTIFICATE REQUEST", head: str = "") -> bytes:
    return f"-----BEGIN {name}-----\n{head}{base64.encodebytes(data).decode()}-----END {name}-----\n".encode()


def refused(request: bytes) -> list[str]:
    """What is said of a new request, behind the value."""
    spec = {**SPEC, "request": base64.b64encode(request).decode()}
    found = validate_create(CSR, {"metadata": {"name": "r"}, "spec": spec})
    assert all(cause.field == "spec.request" for cause in found)
    return [cause.message.partition('": ')[2] for cause in found]


@pytest.mark.parametrize("data", [RSA, CURVE])
def test_a_request_in_any_form_that_go_reads(data: bytes) -> None:
    good = block(data)
    for text in (good, b"garbage\n" + good, good + b"more", good.replace(b"\n", b"\r\n"), block(data, head="A: b\n\n")):
        assert refused(text) == []


def broken(data: bytes) -> bytes:
    """The same with another signature."""
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "PEM block type must be CERTIFICATE REQUEST"),
        (block(RSA, "NEW CERTIFICATE REQUEST"), "PEM block type must be CERTIFICATE REQUEST"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n!\n-----END CERTIFICATE REQUEST-----\n",
         "PEM block type must be CERTIFICATE REQUEST"),
        (block(b"x"), "asn1: syntax error: truncated tag or length"),
        (block(RSA[:-3]), "asn1: syntax error: data truncated"),
        (block(RSA + b"xx"), "asn1: syntax error: trailing data"),
        (block(broken(RSA)), "crypto/rsa: verification error"),
        (block(broken(CURVE)), "x509: ECDSA verification failure"),
    ],
)  # fmt: skip
def test_what_is_no_request(text: bytes, why: str) -> None:
    assert refused(text) == [why]


def test_blocks_are_searched_in_one_go() -> None:
    """However many begin and never end."""
    begin = b"-----BEGIN A-----\n"
    assert decode_pem(begin * 100_000 + b"-----END B-----\n")[0] is None
    found, rest = decode_pem(begin * 2 + b"-----END A-----\n" + block(b"x", "A") + b"rest")
    assert found is not None and (found.type, found.data, rest) == ("A", b"x", b"rest")


LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "kubernetes.io/legacy-unknown",
            'Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version',
        ),
        ("A.b/c", f'Invalid value: "A.b": validating label "A": {LABEL}'),
        (
            "a.b/c/d",
            'Invalid value: "a.b/c/d": must be a fully qualified domain and path of the form '
            "'example.com/signer-name'",
        ),
    ],
)
def test_names_of_signers(name: str, why: str) -> None:
    spec = {**SPEC, "request": base64.b64encode(block(CURVE)).decode(), "signerName": name}
    (cause,) = validate_create(CSR, {"metadata": {"name": "r"}, "spec": spec})
    assert (cause.field, cause.message) == ("spec.signerName", why)


def through_status(new: dict[str, Any], old: dict[str, Any]) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in validate_update(CSR, new, old, "status")]


def test_only_the_approval_subresource_decides() -> None:
    for kind in ("Approved", "Denied"):
        why = f'Forbidden: updates may not add a condition of type "{kind}"'
        assert through_status(with_conditions(kind), with_conditions()) == [("status.conditions", why)]
        assert told(with_conditions(kind)) == []
    assert through_status(with_conditions("Failed", "Approved"), with_conditions("Approved")) == []


def with_certificate(text: bytes) -> dict[str, Any]:
    return {**with_conditions(), "status": {"certificate": base64.b64encode(text).decode()}}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"x", "must contain at least one CERTIFICATE PEM block"),
        (block(CURVE), 'only CERTIFICATE PEM blocks are allowed, found "CERTIFICATE REQUEST"'),
        (block(CURVE, "CERTIFICATE", "A: b\n\n"), "no PEM block headers are permitted"),
        (block(b"x", "CERTIFICATE"), "x509: malformed certificate"),
    ],
)
def test_what_is_no_certificate(text: bytes, why: str) -> None:
    refusal = ("status.certificate", f'Invalid value: "<certificate data>": {why}')
    assert through_status(with_certificate(text), with_conditions()) == [refusal]


def test_a_certificate_stays() -> None:
    why = "Forbidden: updates may not modify existing certificate content"
    old = with_certificate(b"stored before it was looked at")
    assert through_status(with_conditions(), old) == [("status.certificate", why)]
    assert through_status(old, old) == []
