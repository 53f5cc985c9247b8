"""Changes one by one lead to the table that all Services at once compile to; what is sent is only the difference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netsim_proxy.config import ProxyConfig
from netsim_proxy.desired import Input
from netsim_proxy.nftables.language import Chain, Final, Nftables, Rule, SetSpec, Verdict
from netsim_proxy.nftables.plan import Transaction, plan_transaction
from netsim_proxy.nftables.state import Desired, compile_nftables
from netsim_proxy.nftables.wire import DEL_ELEMENTS, NEW_ELEMENTS, encode
from netsim_proxy.render import cut_objects
from support.proxy_objects import ADDRESSES, every_kind

CONFIG = ProxyConfig("node1", mode="nftables", cluster_cidr=("10.180.0.0/16", "fd00:10::/48"))
PARTS = cut_objects(every_kind(), CONFIG, ADDRESSES)
INPUTS = PARTS.inputs()


def apply(table: Nftables | None, plan: Transaction) -> Nftables:
    """What the kernel makes of a transaction; fails where the kernel would."""
    old = Nftables(4) if table is None or plan.rebuild else table
    sets, chains = dict(old.sets), dict(old.chains)
    elements = {name: dict(found) for name, found in old.elements.items()}
    for name, keys in plan.delete_elements.items():
        for key in keys:
            del elements[name][key]
    for name in plan.flush:
        chains[name] = replace(chains[name], rules=())
    for name in plan.delete_sets:
        del sets[name]
        elements.pop(name, None)
    for name in plan.delete_chains:
        assert not chains.pop(name).rules
    for name, spec in plan.create_sets.items():
        assert sets.setdefault(name, spec) == spec
    for name, chain in plan.create_chains.items():
        chains.setdefault(name, replace(chain, rules=()))
    for name, found in plan.add_elements.items():
        assert name in sets and not elements.setdefault(name, {}).keys() & found.keys()
        elements[name].update(found)
    for name, chain in plan.rules.items():
        assert not chains[name].rules
        chains[name] = chain
    for found in elements.values():
        assert all(not isinstance(data, Verdict) or not data.chain or data.chain in chains for data in found.values())
    return Nftables(4, sets, chains, {name: found for name, found in elements.items() if found})


def content(table: Nftables) -> tuple[Any, ...]:
    return table.sets, table.chains, {name: dict(found) for name, found in table.elements.items() if found}


def reduced(given: Input, kept: set[int]) -> Input:
    """The Service with some of its endpoints."""
    slices = tuple(
        replace(part, endpoints=tuple(e for at, e in enumerate(part.endpoints) if at in kept)) for part in given.slices
    )
    return Input(given.ports, slices)


CHANGE = st.tuples(st.sampled_from(sorted(INPUTS)), st.booleans(), st.sets(st.integers(0, 9)))


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.lists(CHANGE, min_size=1, max_size=3), max_size=8))
def test_small_steps_lead_to_the_same_table_as_one(steps: list[list[tuple[str, bool, set[int]]]]) -> None:
    desired, now = Desired(CONFIG, 4), dict(INPUTS)
    desired.advance(INPUTS, PARTS.node, ADDRESSES)
    kernel = apply(None, plan_transaction(None, desired.value()))
    for step in steps:
        changes = {key: reduced(INPUTS[key], kept) if there else Input() for key, there, kept in step}
        now.update(changes)
        found = desired.advance(changes, PARTS.node, ADDRESSES)
        assert not found.whole
        kernel = apply(kernel, replace(plan_transaction(found.old, found.new), delete_chains=()))
    wanted = compile_nftables(now, PARTS.node, CONFIG, ADDRESSES)
    assert content(desired.value()) == content(wanted)
    rest = plan_transaction(kernel, wanted)
    assert not rest.delete_elements and not rest.add_elements and not rest.create_chains  # only what nothing leads to
    assert content(apply(kernel, rest)) == content(wanted)
    assert not plan_transaction(wanted, wanted)


def test_sets_that_change_are_made_anew_with_the_rules_that_name_them() -> None:
    given = INPUTS["all/sticky"]
    desired = Desired(CONFIG, 4)
    desired.advance({"all/sticky": given}, PARTS.node, ADDRESSES)
    kernel = apply(None, plan_transaction(None, desired.value()))
    longer = Input(tuple(replace(port, affinity_seconds=90) for port in given.ports), given.slices)
    step = desired.advance({"all/sticky": longer}, PARTS.node, ADDRESSES)
    plan = plan_transaction(step.old, step.new)
    assert set(plan.delete_sets) == set(plan.create_sets) and len(plan.create_sets) == 3
    assert content(apply(kernel, plan)) == content(desired.value())


def test_a_base_chain_elsewhere_has_the_table_made_anew() -> None:
    wanted = compile_nftables(INPUTS, PARTS.node, CONFIG, ADDRESSES)
    hook = wanted.chains["nat-output"].hook
    assert hook is not None
    moved = Chain((Rule(Final("drop")),), replace(hook, priority=7))
    plan = plan_transaction(replace(wanted, chains={**wanted.chains, "nat-output": moved}), wanted)
    assert plan.rebuild and plan.create_table
    assert content(apply(wanted, plan)) == content(wanted)


def test_an_error_in_a_message_of_many_elements_names_the_one() -> None:
    wanted = compile_nftables(INPUTS, PARTS.node, CONFIG, ADDRESSES)
    for message in encode(plan_transaction(None, wanted), 4):
        if message.kind not in (NEW_ELEMENTS, DEL_ELEMENTS) or b"no-endpoint-services" not in message.body:
            continue
        at = message.body.index(b"all/none:p")
        assert "(all/none:p) of no-endpoint-services" in message.about(at)
        return
    raise AssertionError("no such message")


def test_elements_of_a_set_that_goes_are_not_deleted_one_by_one() -> None:
    table = Nftables(4, {"a": SetSpec(("addr",))}, {}, {"a": {b"\1\1\1\1": None}})
    plan = plan_transaction(table, Nftables(4))
    assert plan.delete_sets == ("a",) and not plan.delete_elements
