"""Status errors: what the API answers when it refuses (api-conventions, "Response Status Kind")."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from netsim.api.kinds import Kind, Obj

REQUIRED = "FieldValueRequired"
INVALID = "FieldValueInvalid"
NOT_SUPPORTED = "FieldValueNotSupported"
FORBIDDEN = "FieldValueForbidden"
DUPLICATE = "FieldValueDuplicate"
NOT_FOUND = "FieldValueNotFound"
TOO_LONG = "FieldValueTooLong"
TYPE_INVALID = "FieldValueTypeInvalid"


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for a refusal: `reason` is a CauseType such as FieldValueInvalid, `field` a path such as
    `spec.ports[0].port`."""

    reason: str
    message: str
    field: str


class StatusError(Exception):
    """A refusal with everything a client branches on; `status()` is the body to answer."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details = details

    def status(self) -> Obj:
        """The meta/v1 Status object."""
        status: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status["message"] = self.message
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return {**status, "code": self.code}

    @classmethod
    def from_status(cls, obj: Obj) -> StatusError:
        """The error a client met, from the Status body of the answer."""
        code = obj.get("code")
        return cls(
            code if isinstance(code, int) else 500,
            str(obj.get("reason", "")),
            str(obj.get("message", "the server answered a Failure without a message")),
            obj.get("details"),
        )


def _details(kind: Kind, name: str, **more: object) -> Obj:
    details: Obj = {"name": name} if name else {}
    if kind.group:
        details["group"] = kind.group
    return {**details, "kind": kind.plural, **more}


def not_found(kind: Kind, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{kind.resource} "{name}" not found', _details(kind, name))


def already_exists(kind: Kind, name: str, *, leaving: bool = False) -> StatusError:
    """409, which says so of an object that is on its way out."""
    text = f'{"object is being deleted: " if leaving else ""}{kind.resource} "{name}" already exists'
    return StatusError(409, "AlreadyExists", text, _details(kind, name))


_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(kind: Kind, name: str, why: str = "") -> StatusError:
    """A lost race (the default text), or another reason why the write does not fit the object's state."""
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why or _MODIFIED}'
    return StatusError(409, "Conflict", message, _details(kind, name))


def invalid(kind: Kind, name: str, causes: Iterable[Cause]) -> StatusError:
    """422 for an object that breaks rules; names every field."""
    return invalid_named(kind.group, kind.kind, name, causes)


def invalid_named(group: str, kind: str, name: str, causes: Iterable[Cause]) -> StatusError:
    """422 for something that is not a served kind, such as options: `CreateOptions.meta.k8s.io "" is invalid`."""
    listed = list(causes)
    texts = list(dict.fromkeys(f"{c.field}: {c.message}" if c.field else c.message for c in listed))
    text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    qualified = f"{kind}.{group}" if group else kind
    details: Obj = {"name": name} if name else {}
    if group:
        details["group"] = group
    details |= ({"kind": kind} if kind else {}) | {"causes": [asdict(c) for c in listed]}
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details)


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def forbidden(kind: Kind, name: str, why: str, causes: Iterable[Cause] = ()) -> StatusError:
    listed = [asdict(c) for c in causes]
    details = _details(kind, name, **({"causes": listed} if listed else {}))
    subject = f'{kind.resource} "{name}"' if name else kind.resource
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> StatusError:
    """410: the asked revision or continue token is older than the kept history; the client must list again."""
    return StatusError(410, "Expired", message)


def method_not_allowed() -> StatusError:
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


_BODY_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")


def unsupported_media_type(accepted: Iterable[str] = _BODY_TYPES) -> StatusError:
    """415; `accepted` are the media types the request might have used."""
    types = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {types}"
    return StatusError(415, "UnsupportedMediaType", message)


def not_acceptable(available: Iterable[str] = ("application/json",)) -> StatusError:
    """406; `available` are the media types the answer could have had."""
    message = f"406: Not Acceptable\n\nAvailable representations: {', '.join(available)}"
    return StatusError(406, "NotAcceptable", message, {})


def too_large_revision(asked: int, current: int, *, retry: bool = True) -> StatusError:
    """504: a read asked for a revision that does not exist yet. `retry`: the client is told to come back soon."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return StatusError(504, "Timeout", message, {"causes": [cause]} | ({"retryAfterSeconds": 1} if retry else {}))


def no_such_resource() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def rejected_patch() -> StatusError:
    """422 for a JSON patch whose test or path does not fit the object."""
    message = "the server rejected our request due to an error in our request"
    return StatusError(422, "Invalid", message, {})


def unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message)


def internal(message: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")
