"""What `--cleanup` removes, and what it leaves."""

from __future__ import annotations

import pytest

from netsim_proxy.cleanup import clean_iptables
from netsim_proxy.cleanup_plan import plan_cleanup
from netsim_proxy.iptables import parse_save

SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:MINE - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-CUSTOM - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -j MINE
-A KUBE-SERVICES -j KUBE-SVC-AAAAAAAAAAAAAAAA
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
COMMIT
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
COMMIT
"""


def test_our_chains_go_and_those_of_others_stay():
    update = plan_cleanup(parse_save(SAVED))
    removed = {chain.place for chain in update.chains if chain.remove}
    assert removed == {
        ("nat", "KUBE-SERVICES"), ("nat", "KUBE-SVC-AAAAAAAAAAAAAAAA"), ("nat", "KUBE-MARK-MASQ"),
        ("filter", "KUBE-FIREWALL"),
    }  # fmt: skip
    deleted = {chain.place: chain.delete for chain in update.chains if chain.delete}
    assert deleted == {
        ("nat", "PREROUTING"): ('-m comment --comment "kubernetes service portals" -j KUBE-SERVICES',),
        ("filter", "INPUT"): ("-j KUBE-FIREWALL",),
    }


def test_the_chain_of_kubelet_stays_where_a_kubelet_is():
    update = plan_cleanup(parse_save(SAVED + "*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n"))
    assert not any(chain.place[0] == "filter" for chain in update.chains)


def test_a_chain_that_others_jump_to_is_emptied_and_stays():
    saved = SAVED.replace("-A KUBE-SERVICES", "-A MINE -j KUBE-MARK-MASQ\n-A KUBE-SERVICES")
    chain = next(c for c in plan_cleanup(parse_save(saved)).chains if c.place == ("nat", "KUBE-MARK-MASQ"))
    assert chain.rewrite and not chain.remove


def test_nothing_of_ours_is_nothing_to_do():
    assert not plan_cleanup(parse_save("*nat\n:MINE - [0:0]\n-A MINE -j RETURN\nCOMMIT\n"))


def test_a_machine_without_iptables_is_a_problem_only_where_its_rules_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    assert clean_iptables(4) == ""
    assert "iptables" in clean_iptables(4, needed=True)
    assert clean_iptables(6, needed=True) == "", "many machines have no rules for IPv6"
