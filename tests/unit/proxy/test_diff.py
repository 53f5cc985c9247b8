"""Updates applied to what is there give what should be; nothing more is written than changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim_proxy.config import ProxyConfig
from netsim_proxy.desired import Desired, Input
from netsim_proxy.diff import (
    SHARED_CHAINS,
    ChainUpdate,
    Payload,
    Update,
    diff,
    diff_chains,
    diff_services,
    is_dynamic,
    missing_hooks,
    render_update,
    summarise,
)
from netsim_proxy.iptables import State
from netsim_proxy.model import Node, ServicePort, Slice, SliceEndpoint
from netsim_proxy.names import service_hash
from netsim_proxy.rule import Place

NODE = Node("node1", ipv4="192.168.0.2")
CONFIG = ProxyConfig("node1", cluster_cidr=("10.180.0.0/16",))


def apply_update(state: Mapping[Place, tuple[str, ...]], update: Update) -> State:
    """What the kernel has after a restore of `update`; KeyError or ValueError where a real restore would fail."""
    after = dict(state)
    for chain in update.chains:
        rules = [] if chain.rewrite else list(after[chain.place])
        for rule in chain.delete:
            rules.remove(rule)
        for rule in chain.insert:
            rules.insert(0, rule)
        after[chain.place] = (*rules, *chain.append)
        if chain.remove:
            del after[chain.place]
    return after


@st.composite
def inputs(draw: st.DrawFn, name: str = "svc") -> Input:
    """One Service with up to two ports, of any exposure and policy, and up to four endpoints."""
    if draw(st.booleans()) and draw(st.booleans()):
        return Input()
    flags = st.booleans()
    outside = draw(flags)
    ports = tuple(
        ServicePort(
            "ns",
            name,
            protocol.lower(),
            protocol,
            f"10.96.0.{int(name[3:] or 0) + 1}",
            80,
            node_port=30000 if outside else 0,
            vips=("1.2.3.4",) if outside and draw(flags) else (),
            external_ips=("1.2.3.5",) if draw(flags) else (),
            source_ranges=("10.0.0.0/8",) if draw(flags) else (),
            internal_local=draw(flags),
            external_local=draw(flags),
            affinity_seconds=draw(st.sampled_from((0, 60))),
        )
        for protocol in draw(st.sets(st.sampled_from(("TCP", "UDP")), min_size=1))
    )
    numbers = draw(st.sets(st.integers(1, 9), max_size=4))
    endpoints = tuple(
        SliceEndpoint(
            f"10.180.0.{number}", draw(st.sampled_from(("node1", "node2"))), draw(flags), draw(flags), draw(flags), ()
        )
        for number in sorted(numbers)
    )
    both = (("tcp", "TCP", 8080), ("udp", "UDP", 5353))
    return Input(ports, (Slice("ns", f"{name}-1", name, 4, both, endpoints),))


NAMES = ("svc1", "svc2", "svc3")
worlds = st.fixed_dictionaries({f"ns/{name}": inputs(name) for name in NAMES})
changes = st.dictionaries(st.sampled_from(NAMES), st.just(None)).flatmap(
    lambda chosen: st.fixed_dictionaries({f"ns/{name}": inputs(name) for name in chosen})
)


def unordered(state: State) -> dict[tuple[str, str], object]:
    return {place: Counter(rules) if place[1] in SHARED_CHAINS else rules for place, rules in state.items()}


def assert_no_dangling_jumps(state: State) -> None:
    chains = {chain for _, chain in state}
    for rules in state.values():
        for rule in rules:
            target = rule.rpartition("-j ")[2]
            assert not target.startswith("KUBE-") or target in chains


@given(old=worlds, new=worlds)
@settings(max_examples=60, deadline=None)
def test_diff_leads_from_old_to_new(old: dict[str, Input], new: dict[str, Input]) -> None:
    before, after = Desired(CONFIG, 4), Desired(CONFIG, 4)
    before.advance(old, NODE, ())
    after.advance(new, NODE, ())
    update = diff(before.state(), after.state())
    assert unordered(apply_update(before.state(), update)) == unordered(after.state())
    assert not diff(after.state(), after.state())


@given(start=worlds, steps=st.lists(changes, max_size=4))
@settings(max_examples=60, deadline=None)
def test_partial_updates_keep_the_kernel_right(start: dict[str, Input], steps: list[dict[str, Input]]) -> None:
    desired = Desired(CONFIG, 4)
    desired.advance(start, NODE, ())
    kernel = desired.state()
    for change in steps:
        step = desired.advance(change, NODE, ())
        assert not step.whole
        kernel = apply_update(kernel, diff_services(step.old, step.new))
        assert unordered(kernel) == unordered(desired.state())
        assert_no_dangling_jumps(kernel)
        jumps = [rule.endswith("-j KUBE-NODEPORTS") for rule in kernel["nat", "KUBE-SERVICES"]]
        assert jumps == sorted(jumps)


def test_one_endpoint_writes_only_its_services_chains() -> None:
    desired = Desired(CONFIG, 4)
    port = ServicePort("ns", "web", "http", "TCP", "10.96.0.1", 80)
    other = ServicePort("ns", "other", "http", "TCP", "10.96.0.2", 80)

    def given_input(port: ServicePort, *numbers: int) -> Input:
        found = tuple(SliceEndpoint(f"10.180.0.{number}", "", True, True, False, ()) for number in numbers)
        return Input((port,), (Slice("ns", "s", port.service, 4, (("http", "TCP", 80),), found),))

    desired.advance({"ns/web": given_input(port, 1, 2), "ns/other": given_input(other, 3)}, NODE, ())
    step = desired.advance({"ns/web": given_input(port, 1, 2, 4)}, NODE, ())
    update = diff_services(step.old, step.new)
    assert sorted(chain.place[1][:8] for chain in update.chains) == ["KUBE-SEP", "KUBE-SVC"]
    text = render_update(update).decode()
    assert "KUBE-SERVICES -" not in text and text.count("COMMIT") == 1


def test_the_text_of_an_endpoint_that_stays_is_kept_while_its_port_is_the_same() -> None:
    desired = Desired(CONFIG, 4)
    found = tuple(SliceEndpoint(f"10.180.0.{number}", "", True, True, False, ()) for number in range(1, 4))
    slices = [(Slice("ns", "s", "web", 4, (("http", "TCP", 80),), some),) for some in (found, found[1:])]
    port = ServicePort("ns", "web", "http", "TCP", "10.96.0.1", 80)
    sticky = replace(port, affinity_seconds=60)
    desired.advance({}, NODE, ())  # else all is new
    first = desired.advance({"ns/web": Input((port,), slices[0])}, NODE, ()).new
    desired.advance({}, NODE, (), check=True)  # which changes nothing
    second = desired.advance({"ns/web": Input((port,), slices[1])}, NODE, ()).new
    third = desired.advance({"ns/web": Input((sticky,), slices[1])}, NODE, ()).new
    stay = [place for place in second if place[1].startswith("KUBE-SEP-")]
    assert len(stay) == 2
    for place in stay:
        assert second[place] is first[place]
        assert "recent" not in "".join(second[place]) and "recent" in "".join(third[place])


def many_endpoints(count: int) -> Update:
    new: State = {("nat", f"KUBE-SEP-{number:016}"): ("-j ACCEPT",) for number in range(count)}
    hooks = Update((ChainUpdate(("nat", "OUTPUT"), delete=("-j OLD",), insert=("-j NEW",)),))
    return Update((*diff({("nat", "KUBE-SVC-OLD"): ()}, new).chains, *hooks.chains))


def test_a_small_update_is_one_transaction() -> None:
    text = render_update(many_endpoints(2)).decode()
    assert text.splitlines() == [
        "*nat",
        "-D OUTPUT -j OLD",
        ":KUBE-SEP-0000000000000000 - [0:0]",
        ":KUBE-SEP-0000000000000001 - [0:0]",
        ":KUBE-SVC-OLD - [0:0]",
        "-A KUBE-SEP-0000000000000000 -j ACCEPT",
        "-A KUBE-SEP-0000000000000001 -j ACCEPT",
        "-X KUBE-SVC-OLD",
        "-I OUTPUT -j NEW",
        "COMMIT",
    ]


def test_a_large_update_lists_all_chains_at_once_and_jumps_to_them_last() -> None:
    text = render_update(many_endpoints(1000)).decode()
    first, middle, last = text.split("COMMIT\n")[:3]
    assert first == "*nat\n-D OUTPUT -j OLD\n"
    assert middle.startswith("*nat\n-S\n:KUBE-SEP-") and middle.endswith("-X KUBE-SVC-OLD\n")
    assert last == "*nat\n-I OUTPUT -j NEW\n"
    assert "-S\n" not in render_update(many_endpoints(1000), rules_there=100_000).decode()
    payload = Payload(unreadable={"nat"})
    for change in many_endpoints(1000).chains:
        payload.add(change)
    assert "-S\n" not in payload.render().decode()


def test_an_update_that_jumps_to_many_chains_lists_them_too() -> None:
    """To find the chains that rules jump to takes as long as to find those that are written."""
    one = {("nat", "KUBE-SEP-NEW"): ("-j ACCEPT",)}
    many = one | {("nat", "KUBE-SVC-A"): tuple(f"-j KUBE-SEP-{number:016}" for number in range(1000))}
    few = one | {("nat", "KUBE-SVC-A"): tuple(f"-j KUBE-SEP-{number:016}" for number in range(100))}
    assert "-S\n" in render_update(diff({}, many)).decode()
    assert "-S\n" not in render_update(diff({}, few)).decode()
    assert "-S\n" not in render_update(diff({}, many), rules_there=100_000).decode()


def test_a_summary_is_enough_to_find_what_differs() -> None:
    desired, other = Desired(CONFIG, 4), Desired(CONFIG, 4)
    port = ServicePort("ns", "web", "http", "TCP", "10.96.0.1", 80)
    for each, number in ((desired, 1), (other, 2)):
        found = (SliceEndpoint(f"10.180.0.{number}", "", True, True, False, ()),)
        each.advance({"ns/web": Input((port,), (Slice("ns", "s", "web", 4, (("http", "TCP", 80),), found),))}, NODE, ())
    summary = summarise(other.state().items())
    assert isinstance(summary["nat", "KUBE-SVC-" + service_hash("ns/web:http", "TCP")], int)
    assert Update(tuple(diff_chains(summary, desired.chains()))) == diff(other.state(), desired.state())
    assert not list(diff_chains(summary, other.chains()))


def test_a_service_rule_behind_the_nodeport_jump_is_repaired() -> None:
    place = ("nat", "KUBE-SERVICES")
    wanted = {place: ("-d 10.96.0.1/32 -j KUBE-SVC-A", "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")}
    update = diff({place: wanted[place][::-1]}, wanted)
    assert apply_update({place: wanted[place][::-1]}, update) == wanted


def test_foreign_chains_are_left_alone() -> None:
    update = diff({("nat", "DOCKER"): ("-j RETURN",), ("filter", "KUBE-SVC-X"): (), ("nat", "KUBE-SVC-X"): ()}, {})
    assert [chain.place for chain in update.chains] == [("nat", "KUBE-SVC-X")]
    assert not is_dynamic(("nat", "KUBE-MARK-MASQ"))


def test_missing_hooks_go_to_the_head_in_order() -> None:
    desired = Desired(CONFIG, 4)
    kernel: State = {place: ("-j FOREIGN",) for place, _ in desired.hooks}
    kernel = apply_update(kernel, missing_hooks(kernel, desired.hooks))
    targets = [rule.rpartition("-j ")[2] for rule in kernel["filter", "INPUT"]]
    assert targets == ["KUBE-FIREWALL", "KUBE-PROXY-FIREWALL", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "FOREIGN"]
    assert not missing_hooks(kernel, desired.hooks)


def test_a_failing_delete_is_seen_by_the_simulation() -> None:
    update = diff_services({("nat", "KUBE-SERVICES"): ("-j A",)}, {})
    with pytest.raises(ValueError, match="not in list"):
        apply_update({("nat", "KUBE-SERVICES"): ()}, update)
