"""The Python clients that controllers and tests are written with: each makes, changes, watches and deletes objects."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import kr8s.asyncio
import kubernetes
import kubernetes_asyncio
import lightkube
import pytest
from kr8s.asyncio.objects import ConfigMap as Kr8sConfigMap
from kr8s.asyncio.objects import Deployment as Kr8sDeployment
from kubernetes.dynamic import DynamicClient
from lightkube.core.exceptions import ApiError
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment as LightDeployment
from lightkube.resources.core_v1 import ConfigMap as LightConfigMap

POD_SPEC: dict[str, Any] = {"containers": [{"name": "web", "image": "nginx:1.27", "ports": [{"containerPort": 80}]}]}


def deployment(name: str) -> dict[str, Any]:
    """A new object each time: some clients write into what they are given."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": copy.deepcopy(POD_SPEC)}
    spec = {"replicas": 1, "selector": {"matchLabels": dict(labels)}, "template": template}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": dict(labels)}, "spec": spec,
    }  # fmt: skip


@pytest.fixture(scope="module")
def kubeconfig(kubectl: Any) -> str:
    path: Path = kubectl.kubeconfig
    return str(path)


@pytest.fixture
def official(kubeconfig: str) -> Iterator[kubernetes.client.ApiClient]:
    with kubernetes.config.new_client_from_config(kubeconfig) as client:
        yield client


def test_kubernetes_writes_and_reads(official: kubernetes.client.ApiClient) -> None:
    apps = kubernetes.client.AppsV1Api(official)
    made = apps.create_namespaced_deployment("default", deployment("official"))
    assert made.metadata.uid and made.spec.strategy.type == "RollingUpdate" and made.metadata.generation == 1
    patched = apps.patch_namespaced_deployment("official", "default", {"spec": {"paused": True}})
    assert patched.spec.paused and patched.metadata.generation == 2
    assert apps.patch_namespaced_deployment_scale("official", "default", {"spec": {"replicas": 4}}).spec.replicas == 4
    found = apps.list_namespaced_deployment("default", label_selector="app in (official)", limit=1)
    assert [item.metadata.name for item in found.items] == ["official"] and found.items[0].spec.replicas == 4
    patched.spec.replicas = 9
    with pytest.raises(kubernetes.client.ApiException) as stale:
        apps.replace_namespaced_deployment("official", "default", patched)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    apps.delete_namespaced_deployment("official", "default")
    with pytest.raises(kubernetes.client.ApiException) as gone:
        apps.read_namespaced_deployment("official", "default")
    assert gone.value.status == 404 and 'deployments.apps \\"official\\" not found' in gone.value.body


def test_kubernetes_watches(official: kubernetes.client.ApiClient) -> None:
    core = kubernetes.client.CoreV1Api(official)
    seen = []
    core.create_namespaced_config_map("default", {"metadata": {"name": "watched"}})
    stream = kubernetes.watch.Watch().stream(
        core.list_namespaced_config_map, "default", field_selector="metadata.name=watched", timeout_seconds=20
    )
    for event in stream:
        seen.append((event["type"], event["object"].data))
        if event["type"] == "ADDED":
            core.patch_namespaced_config_map("watched", "default", {"data": {"a": "1"}})
        elif event["type"] == "MODIFIED":
            core.delete_namespaced_config_map("watched", "default")
        else:
            break
    assert seen == [("ADDED", None), ("MODIFIED", {"a": "1"}), ("DELETED", {"a": "1"})]


def test_kubernetes_dynamic_client(official: kubernetes.client.ApiClient, tmp_path: Path) -> None:
    dynamic = DynamicClient(official, cache_file=str(tmp_path / "discovery.json"))
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    made = deployments.create(body=deployment("dynamic"), namespace="default")
    assert made.spec.progressDeadlineSeconds == 600
    applied = deployments.server_side_apply(
        body={**deployment("dynamic"), "metadata": {"name": "dynamic", "labels": {"tier": "a"}}},
        namespace="default", field_manager="tester", force_conflicts=True,
    )  # fmt: skip
    assert applied.metadata.labels.to_dict() == {"app": "dynamic", "tier": "a"}
    assert "tester" in [entry.manager for entry in applied.metadata.managedFields]
    assert deployments.delete(name="dynamic", namespace="default").status == "Success"


@pytest.fixture
async def asynchronous(kubeconfig: str) -> AsyncIterator[kubernetes_asyncio.client.ApiClient]:
    configuration = kubernetes_asyncio.client.Configuration()
    await kubernetes_asyncio.config.load_kube_config(kubeconfig, client_configuration=configuration)
    async with kubernetes_asyncio.client.ApiClient(configuration) as client:
        yield client


async def test_kubernetes_asyncio(asynchronous: kubernetes_asyncio.client.ApiClient) -> None:
    core = kubernetes_asyncio.client.CoreV1Api(asynchronous)
    name, seen = "asynchronous", []
    await core.create_namespaced_config_map("default", {"metadata": {"name": name}})
    async with kubernetes_asyncio.watch.Watch().stream(
        core.list_namespaced_config_map, "default", field_selector=f"metadata.name={name}", timeout_seconds=20
    ) as stream:
        async for event in stream:
            seen.append(event["type"])
            if event["type"] == "ADDED":
                await core.patch_namespaced_config_map(name, "default", {"data": {"a": "1"}})
            elif event["type"] == "MODIFIED":
                await core.delete_namespaced_config_map(name, "default")
            else:
                break
    assert seen == ["ADDED", "MODIFIED", "DELETED"]
    with pytest.raises(kubernetes_asyncio.client.ApiException) as gone:
        await core.read_namespaced_config_map(name, "default")
    assert gone.value.status == 404


# kr8s 0.20 knows the minors 28 to 35 and warns of every other one.
@pytest.mark.filterwarnings("ignore:Kubernetes version:UserWarning")
async def test_kr8s(kubeconfig: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # kr8s leaves the credentials' files
    api = await kr8s.asyncio.api(kubeconfig=kubeconfig)
    web = await Kr8sDeployment(deployment("kr"), namespace="default", api=api)
    await web.create()
    assert await web.exists()
    await web.label({"tier": "a"})
    await web.patch({"spec": {"paused": True}})
    await web.refresh()
    assert web.labels == {"app": "kr", "tier": "a"} and web.spec.paused
    listed = [found.name async for found in api.get("deployments", label_selector={"tier": "a"})]
    assert listed == ["kr"]
    await web.delete()
    assert not await web.exists()
    settings = await Kr8sConfigMap({"metadata": {"name": "kr", "namespace": "default"}, "data": {"a": "1"}}, api=api)
    await settings.create()
    async for kind, found in api.watch("configmaps", namespace="default", field_selector="metadata.name=kr"):
        if kind == "ADDED":
            await found.delete()
        elif kind == "DELETED":
            break
    assert (await api.whoami()) == "kubernetes-admin"


@pytest.fixture
def light(kubeconfig: str) -> Iterator[lightkube.Client]:
    client = lightkube.Client(lightkube.KubeConfig.from_file(kubeconfig), field_manager="light")
    yield client
    client.close()


def test_lightkube(light: lightkube.Client) -> None:
    web = LightDeployment.from_dict(deployment("light"))
    made = light.create(web, namespace="default")
    assert made.spec and made.spec.revisionHistoryLimit == 10
    scaled = light.replace(
        LightDeployment.Scale(metadata=ObjectMeta(name="light", namespace="default"), spec=ScaleSpec(replicas=3))
    )
    assert scaled.spec and scaled.spec.replicas == 3
    patched = light.patch(LightDeployment, "light", {"metadata": {"labels": {"tier": "a"}}}, namespace="default")
    assert patched.metadata and patched.metadata.labels == {"app": "light", "tier": "a"}
    chosen = light.list(LightDeployment, namespace="default", labels={"tier": ["a", "b"]})
    assert [found.metadata.name for found in chosen if found.metadata] == ["light"]
    light.delete(LightDeployment, "light", namespace="default")
    with pytest.raises(ApiError) as gone:
        light.get(LightDeployment, "light", namespace="default")
    assert gone.value.status.code == 404


def test_lightkube_applies_and_watches(light: lightkube.Client) -> None:
    mine = LightConfigMap(metadata=ObjectMeta(name="light", namespace="default"), data={"a": "1", "b": "2"})
    assert light.apply(mine).data == {"a": "1", "b": "2"}
    mine.data = {"a": "1"}
    assert light.apply(mine).data == {"a": "1"}
    theirs = LightConfigMap(metadata=ObjectMeta(name="light", namespace="default"), data={"a": "other"})
    with pytest.raises(ApiError) as conflict:
        light.apply(theirs, field_manager="other")
    assert conflict.value.status.message == 'Apply failed with 1 conflict: conflict with "light": .data.a'
    assert light.apply(theirs, field_manager="other", force=True).data == {"a": "other"}
    for kind, found in light.watch(LightConfigMap, namespace="default", fields={"metadata.name": "light"}):
        if kind == "ADDED":
            light.delete(LightConfigMap, "light", namespace="default")
        elif kind == "DELETED":
            assert found.data == {"a": "other"}
            break
