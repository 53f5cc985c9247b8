"""kubectl 1.20 (Debian 12): legacy discovery, OpenAPI v2 as protobuf, client-side validation, dry run, diff."""

from __future__ import annotations

from typing import Any

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: old, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: old}}
  template:
    metadata: {labels: {app: old}}
    spec: {containers: [{name: c, image: "nginx:1.7.9", ports: [{containerPort: 80}]}]}
"""


def test_explain_knows_types_of_nested_fields(kubectl120: Any) -> None:
    shown = kubectl120.out("explain", "deployment.spec.template.spec.containers")
    assert "VERSION:  apps/v1" in shown and "RESOURCE: containers <[]Object>" in shown
    assert "image\t<string>" in shown and "name\t<string> -required-" in shown
    assert "limits\t<map[string]string>" in kubectl120.out("explain", "pods.spec.containers.resources")
    recursive = kubectl120.out("explain", "services", "--recursive")
    assert "clusterIP\t<string>" in recursive and "targetPort\t<string>" in recursive


def test_create_validates_on_the_client(kubectl120: Any) -> None:
    wrong = DEPLOYMENT.replace("replicas: 2", 'replicas: "two"\n  replicaz: 1')
    refusal = kubectl120.refusal("create", "-f", "-", stdin=wrong)
    assert 'unknown field "replicaz" in io.k8s.api.apps.v1.DeploymentSpec' in refusal
    assert 'invalid type for io.k8s.api.apps.v1.DeploymentSpec.replicas: got "string", expected "integer"' in refusal
    missing = kubectl120.refusal(
        "create", "-f", "-", stdin=DEPLOYMENT.replace("selector: {matchLabels: {app: old}}", "")
    )
    assert 'missing required field "selector" in io.k8s.api.apps.v1.DeploymentSpec' in missing


def test_apply_edit_diff_and_dry_run(kubectl120: Any) -> None:
    assert kubectl120.out("apply", "--dry-run=server", "-f", "-", stdin=DEPLOYMENT).endswith("created (server dry run)")
    assert kubectl120.out("apply", "-f", "-", stdin=DEPLOYMENT) == "deployment.apps/old created"
    assert kubectl120.out("apply", "-f", "-", stdin=DEPLOYMENT) == "deployment.apps/old unchanged"
    assert kubectl120("diff", "-f", "-", stdin=DEPLOYMENT).stdout == ""
    changed = DEPLOYMENT.replace("nginx:1.7.9", "nginx:1.8")
    difference = kubectl120("diff", "-f", "-", stdin=changed, ok=False)
    assert difference.returncode == 1 and "+      - image: nginx:1.8" in difference.stdout
    assert kubectl120.out("apply", "-f", "-", stdin=changed) == "deployment.apps/old configured"
    assert "created (server dry run)" in kubectl120.out("create", "configmap", "x", "--dry-run=server")
    assert "edited" in edit(kubectl120, "deployment/old", "replicas: 2", "replicas: 3")
    assert kubectl120.out("get", "deployment", "old", "-o", "jsonpath={.spec.replicas}") == "3"
    assert kubectl120.out("delete", "deployment", "old", "--wait=false") == 'deployment.apps "old" deleted'


def edit(kubectl: Any, what: str, before: str, after: str) -> str:
    """`kubectl edit` with sed as the editor."""
    return kubectl(
        "edit", what, environment={"KUBE_EDITOR": f"sed -i 's/{before}/{after}/'"}
    ).stdout  # fmt: skip


def test_api_resources_and_versions(kubectl120: Any) -> None:
    rows = kubectl120.out("api-resources", "--no-headers").splitlines()
    table = {row.split()[0]: row.split()[1:] for row in rows}
    assert table["deployments"] == ["deploy", "apps/v1", "true", "Deployment"]
    assert table["customresourcedefinitions"][-1] == "CustomResourceDefinition"
    assert {"v1", "apps/v1", "events.k8s.io/v1"} <= set(kubectl120.out("api-versions").splitlines())
