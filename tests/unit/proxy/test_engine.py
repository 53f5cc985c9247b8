"""Pacing, inputs, and recompilation."""

from __future__ import annotations

from typing import Any

import pytest

from netsim_proxy.config import ProxyConfig
from netsim_proxy.cut import cut_service, cut_slice
from netsim_proxy.desired import Desired, Input
from netsim_proxy.inputs import Inputs, service_cache
from netsim_proxy.iptables import probability, quote
from netsim_proxy.model import Node
from netsim_proxy.pace import check_delay, failing_lines, rest_after, retry_delay, sync_pace

NODE = Node("node1")


def test_syncs_come_in_a_burst_of_two_and_then_one_a_period() -> None:
    pace = sync_pace(1.0)
    assert [pace.delay(0.0), pace.delay(0.15)] == [0.0, 0.0]
    assert pace.delay(0.3) == pytest.approx(0.7)
    assert pace.delay(10.0) == 0.0


def test_a_sync_of_many_rules_rests_as_long_again_and_longer_where_others_want_the_processors() -> None:
    assert rest_after(2.0, 0.1, 200) == 0.0
    assert rest_after(0.5, 0.5, 2000) == rest_after(0.5, 0.6, 2000) == rest_after(0.5, 0.0, 2000) == 0.5
    assert rest_after(0.3, 0.2, 2000) == pytest.approx(0.3 * 1.5**3)
    assert rest_after(0.1, 0.001, 2000) == pytest.approx(0.8)


def test_storms_are_waited_out_only_on_a_crowded_machine() -> None:
    assert [rest_after(30.0, 3.0, 2000, storm) for storm in (0, 1, 2, 3, 9999)] == [3.0, 6.0, 12.0, 15.0, 15.0]
    assert rest_after(30.0, 29.0, 2000, 9999) == rest_after(30.0, 15.1, 2000, 3) == 3.0


def test_no_limit_without_a_period() -> None:
    pace = sync_pace(0.0)
    assert [pace.delay(0.0) for _ in range(5)] == [0.0] * 5


def test_delays() -> None:
    assert [retry_delay(failures, 30.0) for failures in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 5.0]
    assert retry_delay(5, 0.1) == 0.1
    assert (check_delay(30.0, 0.1), check_delay(30.0, 3.0)) == (30.0, 60.0)


@pytest.mark.parametrize(
    "message", ["iptables-restore: line 5 failed", "Error occurred at line: 5", "line 5: X failed"]
)
def test_failing_lines(message: str) -> None:
    text = failing_lines("\n".join("abcdefghij"), message)
    assert text.splitlines() == ["2: b", "3: c", "4: d", "5: e", "6: f", "7: g", "8: h"]
    assert failing_lines("a", "no such thing") == ""


@pytest.mark.parametrize(
    ("count", "text"), [(2, "0.50000000000"), (3, "0.33333333349"), (1100, "0.00090909097"), (4, "0.25000000000")]
)
def test_probability_as_the_kernel_prints_it(count: int, text: str) -> None:
    assert probability(count) == text


def test_names_cannot_break_out_of_a_comment() -> None:
    assert quote('a"\n-A INPUT') == '"a\\"?-A INPUT"'
    assert quote("KUBE-SEP_1") == "KUBE-SEP_1"


@pytest.mark.parametrize(
    "flags",
    [
        {"masquerade_bit": 32},
        {"sync_period": 0.0},
        {"nodeport_addresses": ("nonsense",)},
        {"detect_local_mode": "BridgeInterface"},
    ],
)
def test_bad_flags_are_refused(flags: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="--"):
        ProxyConfig("n", **flags)


def test_hostname_is_trimmed_and_lowered() -> None:
    assert ProxyConfig("x", hostname_override=" Node-1 ").hostname == "node-1"


def test_equal_values_are_no_news(make: Any) -> None:
    inputs = Inputs(4)
    ports, part = cut_service(make.service(), 4), cut_slice(make.slice(make.endpoint("10.0.0.1")))
    assert not inputs.set_slice("ns/web", "web-1", part)  # of no Service yet
    assert inputs.set_service("ns/web", ports)
    assert not inputs.set_service("ns/web", cut_service(make.service(annotations={"a": "b"}), 4))
    assert not inputs.set_slice("ns/web", "web-1", cut_slice(make.slice(make.endpoint("10.0.0.1"))))
    assert inputs.take() == {"ns/web": Input(ports, (part,))}
    assert inputs.pending == (0, 0)
    assert inputs.set_slice("ns/web", "web-1", None)
    assert inputs.take() == {"ns/web": Input(ports, ())}
    assert inputs.set_service("ns/web", ())
    assert inputs.take() == {"ns/web": Input()}


async def test_slim_cache_keeps_the_cut_and_the_identity(make: Any) -> None:
    cache = service_cache((4, 6))
    obj = make.service()
    obj["metadata"] |= {"uid": "u", "resourceVersion": "5", "managedFields": ["much"]}
    cache.replace([obj], "5")
    kept = cache.get("ns/web")
    assert kept is not None
    assert kept["cut"] == {4: cut_service(obj, 4), 6: ()}
    assert "managedFields" not in kept["metadata"]


async def test_a_malformed_object_is_logged_and_ignored(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    cache = service_cache((4,))
    cache.replace([make.service(), make.service("bad", ports=[{"name": "no number"}])], "5")
    kept = cache.get("ns/bad")
    assert kept is not None and kept["cut"] == {4: ()}
    assert "Service bad is malformed" in caplog.text


def test_large_clusters_lose_endpoint_comments(make: Any) -> None:
    desired = Desired(ProxyConfig("node1"), 4)

    def given_input(count: int) -> Input:
        found = [make.endpoint(f"10.{number // 250}.0.{number % 250 + 1}") for number in range(count)]
        parts = cut_slice(make.slice(*found)), cut_slice(make.slice(*found[:5], name="moving"))
        return Input(cut_service(make.service(), 4), tuple(part for part in parts if part))

    def endpoint_comments() -> set[bool]:
        return {
            "--comment" in rule
            for (_, chain), rules in desired.state().items()
            if chain.startswith("KUBE-SEP")
            for rule in rules
        }

    desired.advance({"ns/web": given_input(1000)}, NODE, ())
    assert endpoint_comments() == {True}
    for count, commented in (1001, True), (999, False):  # each time the next check of all rules takes it up
        assert not desired.advance({"ns/web": given_input(count)}, NODE, ()).whole
        assert endpoint_comments() == {commented}
        assert desired.advance({}, NODE, (), check=True).whole
        assert endpoint_comments() == {not commented}
    assert not desired.advance({}, NODE, (), check=True).whole


def test_a_large_cluster_at_the_start_has_no_endpoint_comments(make: Any) -> None:
    desired = Desired(ProxyConfig("node1"), 4)
    found = cut_slice(make.slice(*(make.endpoint(f"10.{n // 250}.0.{n % 250 + 1}") for n in range(1001))))
    assert found is not None
    desired.advance({"ns/web": Input(cut_service(make.service(), 4), (found,))}, NODE, ())
    assert not any("-> " in rule for rules in desired.state().values() for rule in rules)


def test_node_changes_recompile_everything(make: Any) -> None:
    desired = Desired(ProxyConfig("node1"), 4)
    desired.advance({}, NODE, ())
    assert not desired.advance({}, NODE, ()).whole
    assert desired.advance({}, Node("node1", ipv4="10.0.0.1"), ()).whole
