"""The real kubectl applies on the server, meets conflicts, moves over from client-side apply, shows owners."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.manifests import SHOP

LAST = "kubectl.kubernetes.io/last-applied-configuration"
MOVED = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moved}\ndata: {a: "1", b: "2"}\n'


def shown(kubectl: Any, what: str, namespace: str = "default") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl.out("get", what, "-n", namespace, "-o", "json", "--show-managed-fields"))
    return found


def managers(obj: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(e["manager"], e["operation"]): e["fieldsV1"] for e in obj["metadata"]["managedFields"]}


def test_apply_diff_conflict_and_force(kubectl: Any) -> None:
    for _ in range(2):
        lines = kubectl.out("apply", "--server-side", "-f", "-", stdin=SHOP).splitlines()
        assert [line.rpartition(" ")[2] for line in lines] == ["serverside-applied"] * 4
    before = shown(kubectl, "cm/settings", "shop")
    assert managers(before) == {("kubectl", "Apply"): {"f:data": {"f:colour": {}, "f:size": {}}}}
    done = kubectl("diff", "--server-side", "-f", "-", stdin=SHOP)
    assert (done.returncode, done.stdout) == (0, "")
    kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=SHOP.replace("blue", "green"))
    assert shown(kubectl, "cm/settings", "shop") == before, "neither a repeated nor a dry apply leaves a trace"
    done = kubectl("diff", "--server-side", "-f", "-", stdin=SHOP.replace("blue", "green"), ok=False)
    assert done.returncode == 1 and "+  colour: green" in done.stdout
    kubectl("patch", "cm", "settings", "-n", "shop", "--type=merge", "-p", '{"data":{"colour":"red"}}')
    kubectl("scale", "deploy/web", "-n", "shop", "--replicas=4")
    text = kubectl.refusal("apply", "--server-side", "-f", "-", stdin=SHOP)
    assert 'Apply failed with 1 conflict: conflict with "kubectl-patch" using v1: .data.colour' in text
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in text
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=SHOP)
    assert shown(kubectl, "cm/settings", "shop")["data"] == {"colour": "blue", "size": "1"}
    assert shown(kubectl, "deploy/web", "shop")["spec"]["replicas"] == 2
    text = kubectl.refusal("apply", "--server-side", "-f", "-", stdin=MOVED.replace("\ndata", "\ndato"))
    assert "failed to create typed patch object (default/moved; /v1, Kind=ConfigMap): .dato: field not declared" in text


def test_moving_over_from_client_side_apply_and_back(kubectl: Any) -> None:
    assert kubectl.out("apply", "-f", "-", stdin=MOVED) == "configmap/moved created"
    assert set(managers(shown(kubectl, "cm/moved"))) == {("kubectl-client-side-apply", "Update")}
    less = MOVED.replace(', b: "2"', "")
    kubectl("apply", "--server-side", "-f", "-", stdin=less)
    moved = shown(kubectl, "cm/moved")
    assert moved["data"] == {"a": "1"}, "what client-side apply had set is removed with the rest"
    owners = managers(moved)
    assert set(owners) == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
    assert owners["kubectl", "Apply"] == {"f:data": {"f:a": {}}}
    assert json.loads(moved["metadata"]["annotations"][LAST])["data"] == {"a": "1"}
    assert kubectl.out("apply", "-f", "-", stdin=less) == "configmap/moved configured", "its annotation differs"
    assert kubectl.out("apply", "-f", "-", stdin=less) == "configmap/moved unchanged"
    assert kubectl("diff", "-f", "-", stdin=less).returncode == 0


def test_last_applied_commands(kubectl: Any, tmp_path: Path) -> None:
    kubectl("apply", "-f", "-", stdin=MOVED.replace("moved", "told"))
    view = kubectl.out("apply", "view-last-applied", "cm/told", "-o", "json")
    assert json.loads(view)["data"] == {"a": "1", "b": "2"}
    changed = MOVED.replace("moved", "told").replace('"2"', '"3"')
    assert kubectl.out("apply", "set-last-applied", "-f", "-", stdin=changed) == "configmap/told configured"
    view = kubectl.out("apply", "view-last-applied", "cm/told", "-o", "json")
    assert json.loads(view)["data"] == {"a": "1", "b": "3"}
    assert shown(kubectl, "cm/told")["data"]["b"] == "2"
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/b: .*/b: "4"/\' "$1"\n')
    editor.chmod(0o755)
    arguments = ("apply", "edit-last-applied", "cm/told")
    assert kubectl(*arguments, environment={"KUBE_EDITOR": str(editor)}).stdout.strip() == "configmap/told edited"
    view = kubectl.out("apply", "view-last-applied", "cm/told", "-o", "json")
    assert json.loads(view)["data"] == {"a": "1", "b": "4"}
