from __future__ import annotations

from netsim.api.kinds import CONFIG_MAPS, DEPLOYMENTS, Obj
from netsim.controllers.namespace import remaining


def told(*contents: tuple[object, Obj]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["message"]) for c in remaining(contents)}  # type: ignore[arg-type]


def test_what_holds_a_namespace_is_told() -> None:
    held: Obj = {"metadata": {"name": "a", "finalizers": ["x.io/b"]}}
    found = told((CONFIG_MAPS, held), (CONFIG_MAPS, {"metadata": {"name": "b"}}), (DEPLOYMENTS, held))
    assert found["NamespaceContentRemaining"] == (
        "True",
        "Some resources are remaining: configmaps. has 2 resource instances, deployments.apps has 1 resource instances",
    )
    assert found["NamespaceFinalizersRemaining"] == (
        "True",
        "Some content in the namespace has finalizers remaining: x.io/b in 2 resource instances",
    )
    assert {status for status, _ in found.values()} == {"True", "False"} and len(found) == 5


def test_without_finalizers_none_are_told() -> None:
    found = told((CONFIG_MAPS, {"metadata": {"name": "b"}}))
    assert found["NamespaceFinalizersRemaining"] == ("False", "All content-preserving finalizers finished")
