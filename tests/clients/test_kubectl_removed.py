"""Manifests of versions that are gone: kubectl shows what to write instead, and lists only what is served."""

from __future__ import annotations

from typing import Any

import pytest

OLD = {
    "extensions/v1beta1": ("Ingress", "networking.k8s.io/v1"),
    "apps/v1beta2": ("Deployment", "apps/v1"),
    "batch/v1beta1": ("CronJob", "batch/v1"),
    "policy/v1beta1": ("PodDisruptionBudget", "policy/v1"),
}


def manifest(api_version: str) -> str:
    return f"apiVersion: {api_version}\nkind: {OLD[api_version][0]}\nmetadata: {{name: old}}\nspec: {{}}\n"


@pytest.mark.parametrize("api_version", OLD)
@pytest.mark.parametrize("command", ["create", "apply"])
def test_a_removed_version_names_its_successor(kubectl: Any, api_version: str, command: str) -> None:
    shown = kubectl.refusal(command, "-f", "-", stdin=manifest(api_version))
    assert f'in version "{api_version}" was removed in Kubernetes' in shown
    assert f"write apiVersion: {OLD[api_version][1]}" in shown


@pytest.mark.parametrize(
    "command", [["apply", "--server-side"], ["delete"], ["replace"], ["apply", "--dry-run=server"]]
)
def test_other_commands(kubectl: Any, command: list[str]) -> None:
    shown = kubectl.refusal(*command, "-f", "-", stdin=manifest("extensions/v1beta1"))
    assert "write apiVersion: networking.k8s.io/v1; its backends are written service.name" in shown


def test_kubectl_120(kubectl120: Any) -> None:
    shown = kubectl120.refusal("create", "-f", "-", stdin=manifest("extensions/v1beta1"))
    assert "write apiVersion: networking.k8s.io/v1" in shown
    shown = kubectl120.refusal("create", "cronjob", "c", "--image=x", "--schedule=* * * * *")
    assert "write apiVersion: batch/v1" in shown
    assert "No resources found" in kubectl120("get", "ingress,cronjobs").stderr


def test_only_what_is_served_is_listed(kubectl: Any) -> None:
    assert "v1beta" not in kubectl.out("api-versions").replace("metrics.k8s.io/v1beta1", "")
    rows = [row for row in kubectl.out("api-resources").splitlines() if "v1beta" in row and "metrics.k8s.io" not in row]
    assert rows == []
    assert "No resources found" in kubectl("get", "ingresses,deployments,pdb,cj,hpa,netpol").stderr
    assert "service/kubernetes" in kubectl.out("get", "all")
    assert "VERSION:    v1\n" in kubectl("explain", "ingress").stdout
    assert kubectl("explain", "deployment").stdout.startswith("GROUP:      apps\n")


def test_an_unknown_kind_is_still_unknown(kubectl: Any) -> None:
    shown = kubectl.refusal(
        "create", "-f", "-", stdin="apiVersion: extensions/v1beta1\nkind: Nope\nmetadata: {name: x}\n"
    )
    assert 'no matches for kind "Nope" in version "extensions/v1beta1"' in shown
