"""Rules of CertificateSigningRequests."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_CONDITIONS = "status.conditions"
_DECISIONS = frozenset(("Approved", "Denied"))
_LASTING = ("Approved", "Denied", "Failed")
"""Types of conditions that are True wherever they are, and stay."""
_STATUSES = ("False", "True", "Unknown")


def signing_request(obj: Obj) -> Iterator[Cause]:
    """A CertificateSigningRequest. Whether the request is one, beyond being PEM, is the signers' to see."""
    spec = obj.get("spec") or {}
    if base64.b64decode(spec.get("request") or "").strip().partition(b"\n")[0].rstrip() not in _REQUEST_HEADS:
        yield causes.invalid("spec.request", spec.get("request"), "PEM block type must be CERTIFICATE REQUEST")
    usages = spec.get("usages") or []
    if not usages:
        yield causes.required("spec.usages")
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            yield causes.unsupported(f"spec.usages[{index}]", usage, _USAGES)
        if usage in usages[:index]:
            yield causes.duplicate(f"spec.usages[{index}]", usage)
    yield from _signer_name(spec.get("signerName") or "")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        yield causes.invalid(
            "spec.expirationSeconds", seconds, "may not specify a duration less than 600 seconds (10 minutes)"
        )


_REQUEST_HEADS = (b"-----BEGIN CERTIFICATE REQUEST-----", b"-----BEGIN NEW CERTIFICATE REQUEST-----")
_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip


def _signer_name(name: str) -> Iterator[Cause]:
    domain, slash, path = name.partition("/")
    if not name:
        yield causes.required("spec.signerName")
    elif not slash or "/" in path:
        why = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield causes.invalid("spec.signerName", name, why)
    elif "." not in domain:
        why = "should be a domain with at least two segments separated by dots"
        yield causes.invalid("spec.signerName", domain, why)


def signing_request_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("spec", new.get("spec"), old.get("spec"))
    conditions, before = (_conditions(obj) for obj in (new, old))
    if conditions != before:
        yield from _each_condition(conditions)
        yield from _together(conditions, before)
        yield from _removed(conditions, before)


def _conditions(request: Obj) -> list[Obj]:
    return (request.get("status") or {}).get("conditions") or []


def _each_condition(conditions: Sequence[Obj]) -> Iterator[Cause]:
    for index, condition in enumerate(conditions):
        field, kind, status = f"{_CONDITIONS}[{index}]", condition.get("type"), condition.get("status")
        if not kind:
            yield causes.required(f"{field}.type")
        allowed = ("True",) if kind in _LASTING else _STATUSES
        if not status:
            yield causes.required(f"{field}.status")
        elif status not in allowed:
            yield causes.unsupported(f"{field}.status", status, allowed)


def _together(conditions: Sequence[Obj], before: Sequence[Obj]) -> Iterator[Cause]:
    """Conditions that exclude one another, unless those of `before` did already."""
    types, held = ([condition.get("type") for condition in some] for some in (conditions, before))
    for index, kind in enumerate(types):
        if kind in _DECISIONS and (_DECISIONS - {kind}) & set(types[:index]) and not set(held) >= _DECISIONS:
            yield causes.invalid(_CONDITIONS, kind, "Approved and Denied conditions are mutually exclusive")
        if kind in types[:index] and len(held) == len(set(held)):
            yield causes.duplicate(f"{_CONDITIONS}[{index}].type", kind)


def _removed(conditions: Sequence[Obj], before: Sequence[Obj]) -> Iterator[Cause]:
    types, held = ([condition.get("type") for condition in some] for some in (conditions, before))
    for kind in _LASTING:
        if types.count(kind) < held.count(kind):
            yield causes.forbidden(_CONDITIONS, f'updates may not remove a condition of type "{kind}"')
