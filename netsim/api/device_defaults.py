"""Defaults of resource.k8s.io/v1; each changes the object given, which is `set_defaults`' private copy."""

from __future__ import annotations

from netsim.api import kinds
from netsim.api.empty_objects import fill_empty
from netsim.api.kinds import Obj
from netsim.api.pod_defaults import fill


def default_claim(claim: Obj) -> None:
    fill_empty(kinds.RESOURCE_CLAIMS, claim)
    _requests(claim["spec"])


def default_claim_template(template: Obj) -> None:
    fill_empty(kinds.RESOURCE_CLAIM_TEMPLATES, template)
    _requests(template["spec"]["spec"])


def default_slice(resource_slice: Obj) -> None:
    fill_empty(kinds.RESOURCE_SLICES, resource_slice)
    for device in resource_slice["spec"].get("devices") or ():
        for mapping in (device.get("nodeAllocatableResourceMappings") or {}).values():
            mapping.setdefault("allocationMultiplier", "1")


def _requests(spec: Obj) -> None:
    """One device, unless more or all are asked for; taints are tolerated for their value."""
    for request in spec["devices"].get("requests") or ():
        exactly = request.get("exactly")
        for wish in (*([] if exactly is None else [exactly]), *(request.get("firstAvailable") or ())):
            fill(wish, allocationMode="ExactCount")
            if wish["allocationMode"] == "ExactCount" and not wish.get("count"):
                wish["count"] = 1
            for toleration in wish.get("tolerations") or ():
                fill(toleration, operator="Equal")
