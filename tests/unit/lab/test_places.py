import pytest

from netsim.lab.paths import LabPaths
from netsim.lab.places import NoSuchPlace, choose_pod, machine_place, suggest
from netsim.lab.topology import plan_lab


def pod(namespace: str, name: str) -> dict:
    return {"metadata": {"namespace": namespace, "name": name}}


PODS = [pod("default", "web"), pod("shop", "web"), pod("shop", "db"), pod("a", "twin"), pod("b", "twin")]


def test_machines_go_by_their_names():
    spec, paths = plan_lab("t", 2), LabPaths("t")
    place = machine_place("node-2", spec, paths)
    assert place is not None and place.netns == "/run/netsim/t/netns/node-2"
    assert machine_place("client", spec, paths) is not None
    assert machine_place("node-3", spec, paths) is None


@pytest.mark.parametrize(
    ("target", "namespace"), [("web", "default"), ("shop/web", "shop"), ("db", "shop"), ("b/twin", "b")]
)
def test_a_pod_is_found_by_its_name(target: str, namespace: str):
    assert choose_pod(target, PODS)["metadata"]["namespace"] == namespace


@pytest.mark.parametrize(
    ("target", "says"), [("twin", "several pods; say which: a/twin, b/twin"), ("nope", "no node or pod")]
)
def test_what_is_not_clear_is_asked_back(target: str, says: str):
    with pytest.raises(NoSuchPlace, match=says):
        choose_pod(target, PODS)


def test_the_names_most_alike_are_proposed_and_else_the_first():
    known = ["client", "node-1", *(f"shop/web-{i}" for i in range(10))]
    assert suggest("clinet", known) == "did you mean `client`?"
    assert suggest("web-33", known) == "did you mean `shop/web-3`?"
    assert suggest("zzz", known) == f"there are {', '.join(known[:8])} and 4 more"
