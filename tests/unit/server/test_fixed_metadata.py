"""What a change may not say of its object's identity and deletion: a real API server's answers."""

from __future__ import annotations

from typing import Any

import pytest

URL = "/api/v1/namespaces/default/configmaps"
LATER = "2026-01-01T00:00:00Z"
FIXED = "field is immutable"


async def test_a_patch_names_no_other_uid_and_a_replacement_means_that_object(api: Any) -> None:
    made = await api.post(URL, {"metadata": {"name": "m"}})
    other = {"metadata": {"uid": "abc"}}
    for content_type in ("application/merge-patch+json", "application/apply-patch+yaml?fieldManager=t"):
        url = f"{URL}/m?{content_type.partition('?')[2]}"
        body = {"apiVersion": "v1", "kind": "ConfigMap", **other} if "apply" in content_type else other
        status = await api.refused("PATCH", url, body, content_type=content_type.partition("?")[0])
        assert (status["code"], status["message"]) == (
            422, f'ConfigMap "m" is invalid: metadata.uid: Invalid value: "abc": {FIXED}'
        )  # fmt: skip
    replaced = {**made, "metadata": {**made["metadata"], "uid": "abc"}}
    status = await api.refused("PUT", f"{URL}/m", replaced)
    assert status["code"] == 409 and "Precondition failed: UID in precondition: abc" in status["message"]


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [("deletionTimestamp", LATER, f'"{LATER}"'), ("deletionGracePeriodSeconds", 7, "7")],
)
async def test_nobody_marks_as_deleted_by_writing(api: Any, field: str, value: Any, shown: str) -> None:
    made = await api.post(URL, {"metadata": {"name": "m"}})
    wanted = f'ConfigMap "m" is invalid: metadata.{field}: Invalid value: {shown}: {FIXED}'
    bodies = {"PUT": {**made, "metadata": {**made["metadata"], field: value}}, "PATCH": {"metadata": {field: value}}}
    for method, body in bodies.items():
        content_type = "application/json" if method == "PUT" else "application/merge-patch+json"
        status = await api.refused(method, f"{URL}/m", body, content_type=content_type)
        assert (status["code"], status["message"]) == (422, wanted)


async def test_of_what_is_being_deleted_the_time_is_overlooked_and_the_grace_is_not(api: Any) -> None:
    await api.post(URL, {"metadata": {"name": "m", "finalizers": ["a.b/c"]}})
    marked = await api.ok("DELETE", f"{URL}/m")
    changed = await api.merge(f"{URL}/m", {"metadata": {"deletionTimestamp": LATER, "labels": {"a": "b"}}})
    assert changed["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    await api.merge(f"{URL}/m", {"metadata": {"deletionTimestamp": None, "deletionGracePeriodSeconds": None}})
    status = await api.refused(
        "PATCH",
        f"{URL}/m",
        {"metadata": {"deletionGracePeriodSeconds": 5}},
        content_type="application/merge-patch+json",
    )
    assert "metadata.deletionGracePeriodSeconds: Invalid value: 5" in status["message"]
