"""Rules of CertificateSigningRequests."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from netsim.api import causes, names
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.pem import decode_pem

_CONDITIONS = "status.conditions"
_DECISIONS = ("Approved", "Denied")
_LASTING = ("Approved", "Denied", "Failed")
"""Types of conditions that are True wherever they are, and stay."""
_LEGACY = "kubernetes.io/legacy-unknown"
_LONGEST_NAME = 253
_LONGEST_SIGNER = _LONGEST_NAME + len("/") + _LONGEST_NAME + len(".") + 63
_STATUSES = ("False", "True", "Unknown")


def signing_request(obj: Obj) -> Iterator[Cause]:
    """A CertificateSigningRequest: the request is one, and signed with the key that it names."""
    spec = obj.get("spec") or {}
    fault = _request_fault(spec.get("request") or "")
    if fault:
        yield causes.invalid("spec.request", spec.get("request"), fault)
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


_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip


@lru_cache(16)  # whoever signs a request writes it several times
def _request_fault(request: str) -> str:
    """What is wrong with a request (base64), in the words of Go's libraries as far as these are plain, or ""."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    block, _ = decode_pem(base64.b64decode(request))
    if block is None or block.type != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    if fault := _der_fault(block.data):
        return f"asn1: syntax error: {fault}"
    try:
        found = x509.load_der_x509_csr(block.data)
        signed, key = found.is_signature_valid, type(found.public_key()).__name__
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return f"asn1: structure error: {error}"
    if signed:
        return ""
    algorithm = key.partition("Public")[0].replace("EC", "ECDSA")
    return "crypto/rsa: verification error" if algorithm == "RSA" else f"x509: {algorithm} verification failure"


def _der_fault(data: bytes) -> str:
    """Whether the outermost value of DER (X.690) is whole, and all there is."""
    head = data[:2]
    more = head[1] & 0x7F if len(head) == 2 and head[1] & 0x80 else 0
    if len(head) < 2 or len(data) < 2 + more:
        return "truncated tag or length"
    length = int.from_bytes(data[2 : 2 + more], "big") if more else head[1]
    rest = len(data) - 2 - more - length
    return "data truncated" if rest < 0 else "trailing data" if rest else ""


def _certificate_fault(text: str) -> str:
    """What is wrong with certificates (base64 of PEM), or ""."""
    from cryptography import x509

    block, rest = decode_pem(base64.b64decode(text))
    if block is None:
        return "must contain at least one CERTIFICATE PEM block"
    while block is not None:
        if block.type != "CERTIFICATE":
            return f"only CERTIFICATE PEM blocks are allowed, found {causes.shown(block.type)}"
        if block.headers:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(block.data)
        except ValueError:
            return "x509: malformed certificate"
        block, rest = decode_pem(rest)
    return ""


def _signer_name(name: str) -> Iterator[Cause]:
    field, parts = "spec.signerName", name.split("/")
    if not name:
        yield causes.required(field)
    elif name == _LEGACY:
        yield causes.invalid(field, name, "the legacy signerName is not allowed via this API version")
    elif len(parts) != 2:
        why = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield causes.invalid(field, name, why)
    else:
        domain, path = parts
        if len(domain) > _LONGEST_NAME:
            yield causes.too_long(field, _LONGEST_NAME)
        yield from _first_wrong(field, domain, names.is_dns1123_label, causes.dns_label)
        if "." not in domain:
            yield causes.invalid(field, domain, "should be a domain with at least two segments separated by dots")
        yield from _first_wrong(field, path, names.is_dns1123_subdomain, causes.dns_subdomain)
        if len(name) > _LONGEST_SIGNER:
            yield causes.too_long(field, _LONGEST_SIGNER)


def _first_wrong(
    field: str, part: str, fits: Callable[[str], bool], judge: Callable[[str, str], Iterator[Cause]]
) -> Iterator[Cause]:
    """What is wrong with the first of the labels between dots that is wrong."""
    label = next((label for label in part.split(".") if not fits(label)), None)
    for cause in judge(field, label) if label is not None else ():
        why = cause.message.removeprefix(f"Invalid value: {causes.shown(label)}: ")
        yield causes.invalid(field, part, f"validating label {causes.shown(label)}: {why}")


def signing_request_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("spec", new.get("spec"), old.get("spec"))
    conditions, before = (_conditions(obj) for obj in (new, old))
    if conditions != before:
        yield from _each_condition(conditions)
        yield from _together(conditions, before)
    certificate = _certificate(new)
    if certificate and certificate != _certificate(old) and (fault := _certificate_fault(certificate)):
        yield causes.invalid("status.certificate", "<certificate data>", fault)
    yield from _removed(conditions, before)


def signing_request_status(new: Obj, old: Obj) -> Iterator[Cause]:
    """What only the status subresource forbids: to decide on a request, and to take back what has been signed."""
    types, held = ([condition.get("type") for condition in _conditions(obj)] for obj in (new, old))
    for kind in _DECISIONS:
        if types.count(kind) > held.count(kind):
            yield causes.forbidden(_CONDITIONS, f'updates may not add a condition of type "{kind}"')
    if _certificate(old) and _certificate(new) != _certificate(old):
        yield causes.forbidden("status.certificate", "updates may not modify existing certificate content")


def _certificate(request: Obj) -> str:
    return (request.get("status") or {}).get("certificate") or ""


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
        others = set(_DECISIONS) - {kind}
        if kind in _DECISIONS and others & set(types[:index]) and not set(held) >= set(_DECISIONS):
            yield causes.invalid(_CONDITIONS, kind, "Approved and Denied conditions are mutually exclusive")
        if kind in types[:index] and len(held) == len(set(held)):
            yield causes.duplicate(f"{_CONDITIONS}[{index}].type", kind)


def _removed(conditions: Sequence[Obj], before: Sequence[Obj]) -> Iterator[Cause]:
    types, held = ([condition.get("type") for condition in some] for some in (conditions, before))
    for kind in _LASTING:
        if types.count(kind) < held.count(kind):
            yield causes.forbidden(_CONDITIONS, f'updates may not remove a condition of type "{kind}"')
