"""Status bodies, word for word as a real API server answered."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import errors, kinds
from netsim.api.errors import Cause, StatusError

HEAD = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"

RECORDED: list[tuple[StatusError, dict[str, Any]]] = [
    (
        errors.not_found(kinds.CONFIG_MAPS, "zzz"),
        {
            "message": 'configmaps "zzz" not found',
            "reason": "NotFound",
            "details": {"name": "zzz", "kind": "configmaps"},
            "code": 404,
        },
    ),
    (
        errors.already_exists(kinds.CONFIG_MAPS, "a"),
        {
            "message": 'configmaps "a" already exists',
            "reason": "AlreadyExists",
            "details": {"name": "a", "kind": "configmaps"},
            "code": 409,
        },
    ),
    (
        errors.conflict(kinds.CONFIG_MAPS, "a"),
        {
            "message": f'Operation cannot be fulfilled on configmaps "a": {MODIFIED}',
            "reason": "Conflict",
            "details": {"name": "a", "kind": "configmaps"},
            "code": 409,
        },
    ),
    (
        errors.invalid(
            kinds.CONFIG_MAPS,
            "",
            [Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")],
        ),
        {
            "message": 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
            "reason": "Invalid",
            "details": {
                "kind": "ConfigMap",
                "causes": [
                    {
                        "reason": "FieldValueRequired",
                        "message": "Required value: name or generateName is required",
                        "field": "metadata.name",
                    }
                ],
            },
            "code": 422,
        },
    ),
    (
        errors.no_such_resource(),
        {
            "message": "the server could not find the requested resource",
            "reason": "NotFound",
            "details": {},
            "code": 404,
        },
    ),
    (
        errors.method_not_allowed(),
        {
            "message": "the server does not allow this method on the requested resource",
            "reason": "MethodNotAllowed",
            "details": {},
            "code": 405,
        },
    ),
    (
        errors.unsupported_media_type(),
        {
            "message": "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf",
            "reason": "UnsupportedMediaType",
            "code": 415,
        },
    ),
    (
        errors.rejected_patch(),
        {
            "message": "the server rejected our request due to an error in our request",
            "reason": "Invalid",
            "details": {},
            "code": 422,
        },
    ),
    (
        errors.too_large_revision(99999999, 1),
        {
            "message": "Timeout: Too large resource version: 99999999, current: 1",
            "reason": "Timeout",
            "details": {
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            },
            "code": 504,
        },
    ),
    (
        errors.bad_request("field label not supported: foo"),
        {"message": "field label not supported: foo", "reason": "BadRequest", "code": 400},
    ),
]


@pytest.mark.parametrize(("error", "body"), RECORDED, ids=lambda item: getattr(item, "reason", ""))
def test_recorded_bodies(error: StatusError, body: dict[str, Any]) -> None:
    assert error.status() == HEAD | body
    again = StatusError.from_status(error.status())
    assert again.status() == error.status()


def test_groups_are_named() -> None:
    assert errors.not_found(kinds.DEPLOYMENTS, "x").status()["details"] == {
        "name": "x",
        "group": "apps",
        "kind": "deployments",
    }
    assert str(errors.not_found(kinds.DEPLOYMENTS, "x")) == 'deployments.apps "x" not found'


def test_several_causes_are_listed_in_brackets() -> None:
    causes = [Cause("FieldValueRequired", "Required value", f"spec.{name}") for name in "ab"]
    message = errors.invalid(kinds.DEPLOYMENTS, "d", causes).message
    assert message == 'Deployment.apps "d" is invalid: [spec.a: Required value, spec.b: Required value]'


def test_other_refusals() -> None:
    why = "unable to create new content in namespace x because it is being terminated"
    terminating = errors.forbidden(kinds.PODS, "p", why, [Cause("NamespaceTerminating", "m", "metadata.namespace")])
    assert terminating.code == 403 and terminating.status()["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert errors.unauthorized().status()["message"] == "Unauthorized"
    assert errors.expired("too old resource version: 5 (900)").code == 410
    assert StatusError.from_status({}).code == 500
