"""Defaults of what runs pods: the apps and batch groups, replication controllers, autoscalers. Functions here change
the object they are handed: a private copy."""

from __future__ import annotations

from netsim.api.kinds import Obj
from netsim.api.pod_defaults import default_pod_spec, fill
from netsim.api.storage_defaults import default_claim

_MAX_INT32 = 2**31 - 1
_CPU_PERCENT = 80


def template(spec: Obj) -> None:
    """The pod template in a spec, made if it is not there."""
    found = spec.setdefault("template", {})
    found.setdefault("metadata", {})
    default_pod_spec(found.setdefault("spec", {}))


def absent(obj: Obj, **defaults: object) -> None:
    """Set what is absent; empty values are kept."""
    for key, value in defaults.items():
        obj.setdefault(key, value)


def deployment(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    absent(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    _rolling(spec.setdefault("strategy", {}), maxSurge="25%", maxUnavailable="25%")
    template(spec)
    obj.setdefault("status", {})


def _rolling(strategy: Obj, **defaults: object) -> None:
    """A strategy that rolls unless it says otherwise."""
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        absent(strategy.setdefault("rollingUpdate", {}), **defaults)


def replica_set(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    absent(spec, replicas=1)
    if "template" in spec:
        template(spec)
    absent(obj.setdefault("status", {}), replicas=0)


def replication_controller(obj: Obj) -> None:
    """Labels and selector come from the template when not given."""
    replica_set(obj)
    spec = obj["spec"]
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        _borrow_labels(obj, labels)


def _borrow_labels(obj: Obj, labels: Obj) -> None:
    metadata = obj.setdefault("metadata", {})
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def stateful_set(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    absent(spec, replicas=1, revisionHistoryLimit=10, serviceName="")
    fill(spec, podManagementPolicy="OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        absent(strategy["rollingUpdate"], partition=0)
        strategy["rollingUpdate"].pop("maxUnavailable", None)  # off in 1.36 (KEP-961): the server does not keep it
    fill(spec.setdefault("persistentVolumeClaimRetentionPolicy", {}), whenDeleted="Retain", whenScaled="Retain")
    for claim in spec.get("volumeClaimTemplates") or ():
        fill(claim, kind="PersistentVolumeClaim", apiVersion="v1")
        default_claim(claim)
    template(spec)
    absent(obj.setdefault("status", {}), replicas=0, availableReplicas=0)


def daemon_set(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    absent(spec, revisionHistoryLimit=10)
    _rolling(spec.setdefault("updateStrategy", {}), maxSurge=0, maxUnavailable=1)
    template(spec)
    zero = dict.fromkeys(("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"), 0)
    absent(obj.setdefault("status", {}), **zero)


def job(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    job_spec(spec)
    failed = "podFailurePolicy" in spec
    absent(spec, completionMode="NonIndexed", podReplacementPolicy="Failed" if failed else "TerminatingOrFailed")
    absent(spec, backoffLimit=_MAX_INT32 if "backoffLimitPerIndex" in spec else 6, suspend=False, manualSelector=False)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    absent(spec, parallelism=1)
    _borrow_labels(obj, spec["template"]["metadata"].get("labels") or {})
    obj.setdefault("status", {})


def job_spec(spec: Obj) -> None:
    """What a Job's spec gets wherever it stands; the rest is left out of CronJob templates."""
    policies = [spec[name] for name in ("podFailurePolicy", "successPolicy") if name in spec]
    for policy in policies:
        policy["rules"] = policy.get("rules") or None
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            fill(pattern, status="True")
    template(spec)


def cron_job(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, concurrencyPolicy="Allow")
    absent(spec, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    jobs = spec.setdefault("jobTemplate", {})
    jobs.setdefault("metadata", {})
    job_spec(jobs.setdefault("spec", {}))
    obj.setdefault("status", {})


def pod_template(obj: Obj) -> None:
    if "template" in obj:
        template(obj)


def autoscaler(obj: Obj) -> None:
    """One replica at least and 80% of the requested CPU; rules of behavior only where behavior is given."""
    spec = obj.setdefault("spec", {})
    absent(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _CPU_PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        _scaling_rules(behavior.setdefault("scaleUp", {}), (("Pods", 4), ("Percent", 100)), stabilization=0)
        _scaling_rules(behavior.setdefault("scaleDown", {}), (("Percent", 100),), stabilization=None)
    status = obj.setdefault("status", {})
    absent(status, desiredReplicas=0)
    status["currentMetrics"] = status.get("currentMetrics") or None


def _scaling_rules(rules: Obj, policies: tuple[tuple[str, int], ...], *, stabilization: int | None) -> None:
    absent(rules, selectPolicy="Max")
    if stabilization is not None:
        absent(rules, stabilizationWindowSeconds=stabilization)
    if rules.get("policies") is None:
        rules["policies"] = [{"type": kind, "value": value, "periodSeconds": 15} for kind, value in policies]


def disruption_budget(obj: Obj) -> None:
    obj.setdefault("spec", {})
    zero = dict.fromkeys(("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"), 0)
    absent(obj.setdefault("status", {}), **zero)
