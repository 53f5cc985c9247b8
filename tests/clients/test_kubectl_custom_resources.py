"""CustomResourceDefinitions with the real kubectl, new and old."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.crontabs import COLUMNS, SCALE, definition, tab, version

NAME = "crontabs.stable.example.com"


@pytest.fixture(scope="module")
def crontabs(kubectl: Any) -> Iterator[Any]:
    """kubectl against a server with CronTabs."""
    full = version(subresources={"status": {}, "scale": SCALE}, additionalPrinterColumns=COLUMNS)
    crd = json.dumps(definition(full, shortNames=["ct"], categories=["all"]))
    assert kubectl.out("apply", "-f", "-", stdin=crd) == f"customresourcedefinition.apiextensions.k8s.io/{NAME} created"
    assert "condition met" in kubectl.out("wait", "--for=condition=Established", f"crd/{NAME}", "--timeout=10s")
    yield kubectl
    kubectl.out("delete", "crd", NAME)


def test_apply_get_and_explain(crontabs: Any) -> None:
    text = json.dumps(tab("mine", replicas=3))
    assert crontabs.out("apply", "-f", "-", stdin=text) == "crontab.stable.example.com/mine created"
    assert crontabs.out("apply", "-f", "-", stdin=text) == "crontab.stable.example.com/mine unchanged"
    changed = json.dumps(tab("mine", replicas=3, image="alpine"))
    assert crontabs.out("apply", "-f", "-", stdin=changed) == "crontab.stable.example.com/mine configured"
    rows = crontabs.out("get", "ct", "-o", "wide").splitlines()
    assert rows[0].split() == ["NAME", "SCHEDULE", "REPLICAS", "READY", "AGE"]
    assert rows[1].split()[:7] == ["mine", "*", "*", "*", "*", "*/5", "3"]
    assert "crontab.stable.example.com/mine" in crontabs.out("get", "all")
    explained = crontabs.out("explain", "crontab.spec")
    assert "cronSpec\t<string> -required-" in explained and "enum: busybox, alpine" in explained
    assert "replicas\t<integer>" in crontabs.out("explain", "ct", "--recursive")


def test_unknown_and_wrong_fields_are_refused(crontabs: Any) -> None:
    refusal = crontabs.refusal("create", "-f", "-", stdin=json.dumps(tab("bad", colour="red")))
    assert refusal.endswith(
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.colour"'
    )
    refusal = crontabs.refusal("create", "-f", "-", stdin=json.dumps(tab("bad", replicas=99, image="x")))
    assert "spec.replicas: Invalid value: 99: spec.replicas in body should be less than or equal to 10" in refusal
    assert 'spec.image: Unsupported value: "x": supported values: "busybox", "alpine"' in refusal


def test_scale_patch_label_and_server_side_apply(crontabs: Any) -> None:
    crontabs.out("create", "-f", "-", stdin=json.dumps(tab("other", replicas=1)))
    assert crontabs.out("scale", "ct/other", "--replicas=4") == "crontab.stable.example.com/other scaled"
    assert crontabs.out("patch", "ct", "other", "--type=merge", "-p", '{"spec":{"image":"alpine"}}').endswith("patched")
    assert crontabs.out("label", "ct", "other", "a=b").endswith("labeled")
    shown = json.loads(crontabs.out("get", "ct", "-l", "a=b", "-o", "json"))["items"]
    assert [(item["spec"]["replicas"], item["spec"]["image"]) for item in shown] == [(4, "alpine")]
    applied = crontabs.out("apply", "--server-side", "-f", "-", stdin=json.dumps(tab("third")))
    assert applied == "crontab.stable.example.com/third serverside-applied"
    assert crontabs.out("delete", "ct", "--all").count("deleted") >= 2


def test_api_resources(crontabs: Any) -> None:
    rows = {row.split()[0]: row.split() for row in crontabs.out("api-resources", "--no-headers").splitlines()}
    assert rows["crontabs"] == ["crontabs", "ct", "stable.example.com/v1", "true", "CronTab"]
    assert "stable.example.com/v1" in crontabs.out("api-versions").splitlines()


def test_the_old_kubectl_knows_them_too(crontabs: Any, kubectl120: Any) -> None:
    assert "cronSpec\t<string> -required-" in kubectl120.out("explain", "crontab.spec")
    refusal = kubectl120.refusal("create", "-f", "-", stdin=json.dumps(tab("old", colour="red")))
    assert 'unknown field "colour" in com.example.stable.v1.CronTab.spec' in refusal
    assert kubectl120.out("apply", "-f", "-", stdin=json.dumps(tab("old"))).endswith("created")
    assert kubectl120.out("apply", "-f", "-", stdin=json.dumps(tab("old", image="alpine"))).endswith("configured")
    assert kubectl120.out("get", "ct", "old", "--no-headers").split()[0] == "old"
    assert kubectl120.out("delete", "ct", "old").endswith("deleted")
