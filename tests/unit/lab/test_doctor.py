import dataclasses

from netsim.lab.doctor import TOOLS, Check, Facts, blocking_problems, judge, missing_packages

GOOD = Facts(
    uid=0,
    system="Linux",
    kernel="6.1.0",
    python=(3, 11),
    tools={t.program: f"/usr/bin/{t.program}" for t in TOOLS},
    kubectl="/usr/bin/kubectl",
    firewall="v1.8.9 (nf_tables)",
    cgroups="v2",
    features={"veth": True},
)


def test_a_good_machine_has_nothing_to_mend():
    checks = judge(GOOD)
    assert {c.level for c in checks} == {"ok"}
    assert missing_packages(checks) == []


def test_each_lack_blocks_and_names_its_mend():
    bad = dataclasses.replace(
        GOOD,
        uid=1000,
        python=(3, 9),
        tools={**GOOD.tools, "runc": None},
        features={"veth": False},
        firewall=None,
    )
    problems = {c.name: c.mend for c in blocking_problems(judge(bad))}
    assert set(problems) == {"root", "python", "veth", "runc", "iptables back end"}
    assert all(problems.values())
    assert missing_packages(judge(bad)) == ["iptables", "runc"]


def test_what_only_a_user_needs_does_not_block_a_lab():
    checks = judge(dataclasses.replace(GOOD, kubectl=None, tools={**GOOD.tools, "curl": None}))
    assert blocking_problems(checks) == []
    assert missing_packages(checks) == ["curl"]


def test_the_back_end_is_shown_and_a_second_one_beside_it_told():
    def found(name: str, **changes: object) -> Check:
        return next(c for c in judge(dataclasses.replace(GOOD, **changes)) if c.name == name)

    assert found("iptables back end").found == "v1.8.9 (nf_tables)"
    both = found("iptables back end", legacy_tables=("nat", "filter"))
    assert "iptables-legacy has nat, filter" in both.found and both.mend
    refused = found("nf_tables", nftables=False)
    assert refused.level == "optional" and "proxy mode iptables" in refused.mend


def test_without_vxlan_a_lab_still_comes_up():
    checks = judge(dataclasses.replace(GOOD, features={**GOOD.features, "vxlan": False}))
    [overlay] = [check for check in checks if check.name == "vxlan"]
    assert overlay.level == "optional" and "--network host-gw" in overlay.mend
    assert blocking_problems(checks) == []
