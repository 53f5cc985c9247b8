"""Which fields of built-in kinds take one of few values, as a cluster's own OpenAPI documents say it (feature gate
OpenAPIEnums); the published schemas, from which the other facts are, leave it out. `kubectl explain` shows them."""

from __future__ import annotations

from typing import Any

_PREFIXES = ("io.k8s.api.", "io.k8s.apiextensions-apiserver.pkg.apis.")
_PULL, _PROTOCOL = ("Always", "IfNotPresent", "Never"), ("SCTP", "TCP", "UDP")
_LOCAL, _MODE = ("Cluster", "Local"), ("Block", "Filesystem")
_MESSAGES, _PREEMPTION = ("FallbackToLogsOnError", "File"), ("Never", "PreemptLowerPriority")
_PROFILE, _INCLUSION = ("Localhost", "RuntimeDefault", "Unconfined"), ("Honor", "Ignore")
_EFFECTS, _RECLAIM = ("NoExecute", "NoSchedule", "PreferNoSchedule"), ("Delete", "Recycle", "Retain")
_STRATEGY = ("OnDelete", "RollingUpdate")
_ALLOCATION, _DEVICE_EFFECTS = ("All", "ExactCount"), ("NoExecute", "NoSchedule", "None")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_STOPPING = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS "
    "TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ"
)
_REAL_TIME = (*(f"RTMAX-{n}" for n in range(1, 15)), *(f"RTMIN+{n}" for n in range(1, 16)))
_SIGNALS = tuple(sorted(f"SIG{name}" for name in (*_STOPPING.split(), *_REAL_TIME)))
_PATHS = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
    "VolumeAttributesClass",
)  # fmt: skip

ENUMS: dict[str, dict[str, tuple[str, ...]]] = {
    "core.v1.AppArmorProfile": {"type": _PROFILE},
    "core.v1.AzureDiskVolumeSource": {
        "cachingMode": ("None", "ReadOnly", "ReadWrite"),
        "kind": ("Dedicated", "Managed", "Shared"),
    },
    "core.v1.Container": {"imagePullPolicy": _PULL, "terminationMessagePolicy": _MESSAGES},
    "core.v1.ContainerPort": {"protocol": _PROTOCOL},
    "core.v1.ContainerStatus": {"stopSignal": _SIGNALS},
    "core.v1.EndpointPort": {"protocol": _PROTOCOL},
    "core.v1.EphemeralContainer": {"imagePullPolicy": _PULL, "terminationMessagePolicy": _MESSAGES},
    "core.v1.HTTPGetAction": {"scheme": ("HTTP", "HTTPS")},
    "core.v1.HostPathVolumeSource": {"type": _PATHS},
    "core.v1.ImageVolumeSource": {"pullPolicy": _PULL},
    "core.v1.Lifecycle": {"stopSignal": _SIGNALS},
    "core.v1.ModifyVolumeStatus": {"status": ("InProgress", "Infeasible", "Pending")},
    "core.v1.NamespaceStatus": {"phase": ("Active", "Terminating")},
    "core.v1.NodeSelectorRequirement": {"operator": ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")},
    "core.v1.NodeStatus": {"phase": ("Pending", "Running", "Terminated")},
    "core.v1.PersistentVolumeClaimSpec": {"volumeMode": _MODE},
    "core.v1.PersistentVolumeClaimStatus": {"phase": ("Bound", "Lost", "Pending")},
    "core.v1.PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": _RECLAIM, "volumeMode": _MODE},
    "core.v1.PersistentVolumeStatus": {"phase": ("Available", "Bound", "Failed", "Pending", "Released")},
    "core.v1.PodSecurityContext": {
        "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
        "supplementalGroupsPolicy": ("Merge", "Strict"),
    },
    "core.v1.PodSpec": {
        "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        "preemptionPolicy": _PREEMPTION,
        "restartPolicy": ("Always", "Never", "OnFailure"),
    },
    "core.v1.PodStatus": {
        "phase": ("Failed", "Pending", "Running", "Succeeded", "Unknown"),
        "qosClass": ("BestEffort", "Burstable", "Guaranteed"),
    },
    "core.v1.PortStatus": {"protocol": _PROTOCOL},
    "core.v1.ScopedResourceSelectorRequirement": {
        "operator": ("DoesNotExist", "Exists", "In", "NotIn"),
        "scopeName": _SCOPES,
    },
    "core.v1.SeccompProfile": {"type": _PROFILE},
    "core.v1.SecurityContext": {"procMount": ("Default", "Unmasked")},
    "core.v1.ServicePort": {"protocol": _PROTOCOL},
    "core.v1.ServiceSpec": {
        "externalTrafficPolicy": _LOCAL,
        "internalTrafficPolicy": _LOCAL,
        "ipFamilyPolicy": ("PreferDualStack", "RequireDualStack", "SingleStack"),
        "sessionAffinity": ("ClientIP", "None"),
        "type": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
    },
    "core.v1.Taint": {"effect": _EFFECTS},
    "core.v1.Toleration": {"effect": _EFFECTS, "operator": ("Equal", "Exists", "Gt", "Lt")},
    "core.v1.TopologySpreadConstraint": {
        "nodeAffinityPolicy": _INCLUSION,
        "nodeTaintsPolicy": _INCLUSION,
        "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
    },
    "core.v1.VolumeMount": {"mountPropagation": ("Bidirectional", "HostToContainer", "None")},
    "apps.v1.DaemonSetUpdateStrategy": {"type": _STRATEGY},
    "apps.v1.DeploymentStrategy": {"type": ("Recreate", "RollingUpdate")},
    "apps.v1.StatefulSetSpec": {"podManagementPolicy": ("OrderedReady", "Parallel")},
    "apps.v1.StatefulSetUpdateStrategy": {"type": _STRATEGY},
    "batch.v1.CronJobSpec": {"concurrencyPolicy": ("Allow", "Forbid", "Replace")},
    "batch.v1.JobSpec": {
        "completionMode": ("Indexed", "NonIndexed"),
        "podReplacementPolicy": ("Failed", "TerminatingOrFailed"),
    },
    "batch.v1.PodFailurePolicyOnExitCodesRequirement": {"operator": ("In", "NotIn")},
    "batch.v1.PodFailurePolicyRule": {"action": ("Count", "FailIndex", "FailJob", "Ignore")},
    "discovery.v1.EndpointPort": {"protocol": _PROTOCOL},
    "discovery.v1.EndpointSlice": {"addressType": ("FQDN", "IPv4", "IPv6")},
    "networking.v1.HTTPIngressPath": {"pathType": ("Exact", "ImplementationSpecific", "Prefix")},
    "networking.v1.IngressPortStatus": {"protocol": _PROTOCOL},
    "networking.v1.NetworkPolicyPort": {"protocol": _PROTOCOL},
    "policy.v1.PodDisruptionBudgetSpec": {"unhealthyPodEvictionPolicy": ("AlwaysAllow", "IfHealthyBudget")},
    "resource.v1.DeviceAllocationConfiguration": {"source": ("FromClaim", "FromClass")},
    "resource.v1.DeviceSubRequest": {"allocationMode": _ALLOCATION},
    "resource.v1.DeviceTaint": {"effect": _DEVICE_EFFECTS},
    "resource.v1.DeviceToleration": {"effect": _DEVICE_EFFECTS, "operator": ("Equal", "Exists")},
    "resource.v1.ExactDeviceRequest": {"allocationMode": _ALLOCATION},
    "scheduling.v1.PriorityClass": {"preemptionPolicy": _PREEMPTION},
    "apiextensions.v1.ValidationRule": {"reason": _REASONS},
    "storage.v1.StorageClass": {
        "reclaimPolicy": _RECLAIM,
        "volumeBindingMode": ("Immediate", "WaitForFirstConsumer"),
    },
}
"""By type and field."""


def with_enums(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A type's schema with the values of its fields, untouched if it has none such."""
    prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
    fields = ENUMS.get(name.removeprefix(prefix))
    if fields is None:
        return schema
    properties = schema["properties"]
    listed = {field: {**properties[field], "enum": list(values)} for field, values in fields.items()}
    return {**schema, "properties": {**properties, **listed}}
