"""API versions that Kubernetes no longer serves, and what to write instead: older courses and manifests name them.

Source: the Kubernetes deprecation guide. Adding one is adding a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netsim.api.kind import Kind
from netsim.api.kinds import split_api_version

_BACKENDS = "its backends are written service.name and service.port.number there, and every path needs a pathType"
_SELECTOR = "spec.selector is required there, and must match the labels of the template"
_SCHEMAS = "each entry of spec.versions has a structural schema there"
_SECURITY = "label the namespace with pod-security.kubernetes.io/enforce instead"


@dataclass(frozen=True, slots=True)
class Removed:
    """A kind in a version that is gone. `instead` is the apiVersion to write ("" if there is none), `since` the release
    without it, `note` what else differs."""

    api_version: str
    kind: str
    instead: str
    since: str
    note: str = ""
    plural: str = ""
    namespaced: bool = True

    def message(self) -> str:
        """What its user is told."""
        gone = f'{self.kind} in version "{self.api_version}" was removed in Kubernetes {self.since}'
        mend = f"write apiVersion: {self.instead}" if self.instead else "nothing takes its place"
        return f"{gone}: {mend}" + (f"; {self.note}" if self.note else "")

    def as_kind(self, verbs: tuple[str, ...]) -> Kind:
        """The row of a table of kinds which clients find it by."""
        group, version = split_api_version(self.api_version)
        singular = self.kind.lower()
        plural = self.plural or f"{singular}s"
        return Kind(group, version, self.kind, plural, singular, namespaced=self.namespaced, verbs=verbs)


def _each(
    api_versions: str,
    kinds: str,
    instead: str,
    since: str,
    note: str = "",
    plural: str = "",
    *,
    namespaced: bool = True,
) -> Iterator[Removed]:
    for api_version in api_versions.split():
        for kind in kinds.split():
            yield Removed(api_version, kind, instead, since, note, plural, namespaced)


_RBAC = "rbac.authorization.k8s.io"
_STORAGE = "storage.k8s.io"

REMOVED: tuple[Removed, ...] = (
    *_each(
        "extensions/v1beta1 networking.k8s.io/v1beta1", "Ingress", "networking.k8s.io/v1", "1.22", _BACKENDS,
        "ingresses",
    ),
    *_each("extensions/v1beta1", "Deployment DaemonSet ReplicaSet", "apps/v1", "1.16", _SELECTOR),
    *_each("extensions/v1beta1", "NetworkPolicy", "networking.k8s.io/v1", "1.16", "", "networkpolicies"),
    *_each(
        "extensions/v1beta1 policy/v1beta1", "PodSecurityPolicy", "", "1.25", _SECURITY, "podsecuritypolicies",
        namespaced=False,
    ),
    *_each("apps/v1beta1", "Deployment StatefulSet", "apps/v1", "1.16", _SELECTOR),
    *_each("apps/v1beta2", "Deployment DaemonSet ReplicaSet StatefulSet", "apps/v1", "1.16", _SELECTOR),
    *_each("apps/v1beta1 apps/v1beta2", "ControllerRevision", "apps/v1", "1.16"),
    *_each("batch/v1beta1", "CronJob", "batch/v1", "1.25"),
    *_each("batch/v2alpha1", "CronJob", "batch/v1", "1.21"),
    *_each("autoscaling/v2beta1", "HorizontalPodAutoscaler", "autoscaling/v2", "1.25"),
    *_each("autoscaling/v2beta2", "HorizontalPodAutoscaler", "autoscaling/v2", "1.26"),
    *_each(
        "networking.k8s.io/v1beta1", "IngressClass", "networking.k8s.io/v1", "1.22", "", "ingressclasses",
        namespaced=False,
    ),
    *_each("policy/v1beta1", "PodDisruptionBudget", "policy/v1", "1.25"),
    *_each(f"{_RBAC}/v1beta1 {_RBAC}/v1alpha1", "Role RoleBinding", f"{_RBAC}/v1", "1.22"),
    *_each(
        f"{_RBAC}/v1beta1 {_RBAC}/v1alpha1", "ClusterRole ClusterRoleBinding", f"{_RBAC}/v1", "1.22", namespaced=False
    ),
    *_each(
        "apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", "apiextensions.k8s.io/v1", "1.22", _SCHEMAS,
        namespaced=False,
    ),
    *_each(
        "certificates.k8s.io/v1beta1", "CertificateSigningRequest", "certificates.k8s.io/v1", "1.22",
        "spec.signerName and spec.usages are required there", namespaced=False,
    ),
    *_each(
        "scheduling.k8s.io/v1alpha1 scheduling.k8s.io/v1beta1", "PriorityClass", "scheduling.k8s.io/v1", "1.22", "",
        "priorityclasses", namespaced=False,
    ),
    *_each(f"{_STORAGE}/v1beta1", "StorageClass", f"{_STORAGE}/v1", "1.22", "", "storageclasses", namespaced=False),
    *_each(f"{_STORAGE}/v1beta1", "CSIDriver CSINode VolumeAttachment", f"{_STORAGE}/v1", "1.22", namespaced=False),
    *_each(f"{_STORAGE}/v1beta1", "CSIStorageCapacity", f"{_STORAGE}/v1", "1.27", "", "csistoragecapacities"),
    *_each("coordination.k8s.io/v1beta1", "Lease", "coordination.k8s.io/v1", "1.22"),
    *_each("discovery.k8s.io/v1beta1", "EndpointSlice", "discovery.k8s.io/v1", "1.25"),
    *_each("events.k8s.io/v1beta1", "Event", "events.k8s.io/v1", "1.25"),
)  # fmt: skip

_BY_PLURAL = {(k.group, k.version, k.plural): row for row in REMOVED for k in [row.as_kind(())]}


def removed(group: str, version: str, plural: str) -> Removed | None:
    """The row of that group, version and plural name."""
    return _BY_PLURAL.get((group, version, plural))
