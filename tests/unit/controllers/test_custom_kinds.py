"""Custom objects under the garbage collector and in namespaces that go, against the real server."""

from __future__ import annotations

from typing import Any

from netsim.api.errors import StatusError
from netsim.api.kinds import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, Kind
from netsim.api.objects import condition, name_of, uid_of
from netsim.controllers.served import Served, custom_kind
from support.control_plane import ControlPlane
from support.crontabs import definition, tab, version

TABS = Kind("stable.example.com", "v1", "CronTab", "crontabs", "crontab")


async def serve_tabs(lab: ControlPlane) -> None:
    await lab.client.create(CUSTOM_RESOURCE_DEFINITIONS, definition())

    async def established() -> bool:
        found = await lab.client.get(CUSTOM_RESOURCE_DEFINITIONS, "crontabs.stable.example.com")
        return (condition(found, "Established") or {}).get("status") == "True"

    await lab.until(established)


def owned_by(kind: Kind, owner: Any) -> Any:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "name": name_of(owner), "uid": uid_of(owner)}


async def test_owners_and_dependents_of_custom_kinds(lab: ControlPlane) -> None:
    await lab.start()
    await serve_tabs(lab)
    owner = await lab.client.create(TABS, tab("owner"), "default")
    config = {"metadata": {"name": "c", "ownerReferences": [owned_by(TABS, owner)]}}
    config_map = await lab.client.create(CONFIG_MAPS, config, "default")
    child = tab("child")
    child["metadata"]["ownerReferences"] = [owned_by(CONFIG_MAPS, config_map)]
    await lab.client.create(TABS, child, "default")
    await lab.client.delete(TABS, "owner", "default")

    async def all_gone() -> bool:
        left = (await lab.client.list(TABS, "default"))["items"]
        return not left and "c" not in {name_of(obj) for obj in await lab.items(CONFIG_MAPS)}

    await lab.until(all_gone)


async def test_a_namespace_takes_its_custom_objects_along(lab: ControlPlane) -> None:
    await lab.start()
    await serve_tabs(lab)
    await lab.client.create(NAMESPACES, {"metadata": {"name": "n"}})
    await lab.client.create(TABS, tab(), "n")
    await lab.client.delete(NAMESPACES, "n")

    async def gone() -> bool:
        try:
            await lab.client.get(NAMESPACES, "n")
        except StatusError as error:
            return error.code == 404
        return False

    await lab.until(gone)
    assert (await lab.client.list(TABS))["items"] == []


def test_a_definition_gives_a_kind_once_it_is_established() -> None:
    crd = definition({**version(), "storage": False}, version("v2"))
    assert custom_kind(crd) is None
    crd["status"] = {"conditions": [{"type": "Established", "status": "True"}], "acceptedNames": crd["spec"]["names"]}
    kind = custom_kind(crd)
    assert kind is not None and (kind.version, kind.resource) == ("v2", "crontabs.stable.example.com")
    served = Served()
    served.custom[kind.resource] = kind
    assert served.of_reference({"apiVersion": "stable.example.com/v1", "kind": "CronTab"}) is kind
    assert served.of_reference({"apiVersion": "stable.example.com/v1", "kind": "Other"}) is None
