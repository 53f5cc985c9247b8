"""What a Job's podFailurePolicy says of a failed pod, and its successPolicy of the indexes that succeeded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from netsim.api.kinds import Obj
from netsim.api.objects import dig, key_of, pod_phase, status_of
from netsim.controllers.job_indexes import parse_indexes


@dataclass(frozen=True, slots=True)
class Verdict:
    """`action` is Count (also without any rule), Ignore, FailIndex or FailJob; `message` says why for FailJob."""

    action: str = "Count"
    message: str = ""


def judge(job: Obj, pod: Obj) -> Verdict:
    """The first rule of podFailurePolicy that matches a pod. A pod that has not ended is counted."""
    rules = dig(job, "spec", "podFailurePolicy", "rules") or []
    if pod_phase(pod) != "Failed":
        return Verdict()
    for number, rule in enumerate(rules):
        why = _matches(rule, pod)
        if why:
            return Verdict(rule["action"], f"{why} matching {rule['action']} rule at index {number}")
    return Verdict()


def _matches(rule: Obj, pod: Obj) -> str:
    """Why a rule matches the pod, "" if it does not."""
    codes = rule.get("onExitCodes")
    if codes:
        return next(_exit_codes(codes, pod), "")
    return next(_conditions(rule.get("onPodConditions") or [], pod), "")


def _exit_codes(codes: Obj, pod: Obj) -> Iterator[str]:
    wanted = codes.get("containerName")
    for status in _statuses(pod):
        code = dig(status, "state", "terminated", "exitCode")
        if not code or (wanted and status.get("name") != wanted):
            continue
        if (code in (codes.get("values") or ())) == (codes.get("operator") == "In"):
            yield f"Container {status.get('name')} for pod {key_of(pod)} failed with exit code {code}"


def _statuses(pod: Obj) -> Iterable[Obj]:
    status = status_of(pod)
    return [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]


def _conditions(patterns: Iterable[Obj], pod: Obj) -> Iterator[str]:
    for pattern in patterns:
        for condition in status_of(pod).get("conditions") or ():
            same_type = condition.get("type") == pattern.get("type")
            if same_type and condition.get("status") == (pattern.get("status") or "True"):
                yield f"Pod {key_of(pod)} has condition {condition['type']}"


def success_rule(job: Obj, succeeded: Collection[int], completions: int) -> int | None:
    """The number of the first successPolicy rule that the succeeded indexes meet."""
    for number, rule in enumerate(dig(job, "spec", "successPolicy", "rules") or ()):
        given = rule.get("succeededIndexes")
        wanted = parse_indexes(given, completions) if given is not None else set(range(completions))
        count = rule.get("succeededCount")
        if len(wanted & set(succeeded)) >= (len(wanted) if count is None else int(count)):
            return number
    return None
