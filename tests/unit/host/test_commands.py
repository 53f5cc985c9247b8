"""Running commands, and what is read from their output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netsim.host import firewall
from netsim.host.conntrack import delete_entries, deleted_count
from netsim.host.exec import CommandFailed, CommandMissing, run
from netsim.host.sysctl import path_of


def test_output_input_and_environment() -> None:
    code = "import os,sys; sys.stdout.write(sys.stdin.read() + os.environ['A']); sys.stderr.write('e')"
    done = run([sys.executable, "-c", code], input=b"in", env={"A": "out"})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"inout", b"e")


@pytest.mark.parametrize("status", [1, 3])
def test_a_chain_that_is_not_there_has_no_rules(iptables: Callable[[int], None], status: int) -> None:
    iptables(status)
    assert firewall.list_chain(4, "KUBE-SERVICES") == []


def test_a_chain_that_cannot_be_seen_is_not_taken_for_none(iptables: Callable[[int], None]) -> None:
    iptables(4)
    with pytest.raises(CommandFailed, match="status 4: Another app is currently holding the xtables lock"):
        firewall.list_chain(4, "KUBE-SERVICES")


@pytest.fixture
def iptables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have an `iptables` that ends with a status."""

    def make(status: int) -> None:
        script = tmp_path / "iptables"
        script.write_text(f"#!/bin/sh\necho Another app is currently holding the xtables lock >&2\nexit {status}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return make


def test_failure_carries_the_commands_words() -> None:
    argv = [sys.executable, "-c", "import sys; sys.exit('no such chain')"]
    with pytest.raises(CommandFailed, match="status 1: no such chain") as caught:
        run(argv)
    assert (caught.value.returncode, caught.value.argv) == (1, argv)
    assert run(argv, check=False).returncode == 1


def test_a_command_that_does_not_end_is_ended() -> None:
    with pytest.raises(CommandFailed, match=r"no end within 0\.2 s"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2)


def test_a_missing_command_names_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CommandMissing, match="apt-get install conntrack"):
        delete_entries("-p", "udp")
    with pytest.raises(CommandMissing, match="apt-get install iptables"):
        firewall.save(6)
    with pytest.raises(CommandMissing, match="put it on PATH"):
        run(["no-such-command"])


def test_conntrack_counts() -> None:
    none = b"conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.\n"
    assert deleted_count(none) == 0
    assert deleted_count(none.replace(b" 0 ", b" 12 ")) == 12
    assert deleted_count(b"conntrack v1.4.7: Operation failed: Operation not permitted") is None


def test_iptables_names_and_backends() -> None:
    assert [firewall.command(4), firewall.command(6, "-restore")] == ["iptables", "ip6tables-restore"]
    assert firewall.parse_backend("iptables v1.8.9 (nf_tables)\n") == "nf_tables"
    assert firewall.parse_backend("iptables v1.8.9 (legacy)\n") == "legacy"
    assert firewall.parse_backend("iptables v1.6.1\n") == "legacy"
    assert firewall.parse_version("iptables v1.8.9 (nf_tables)\n") == (1, 8, 9)
    assert firewall.parse_version("iptables v1.6.1\n") < (1, 6, 2)


def test_sysctl_paths() -> None:
    assert path_of("net.ipv4.ip_forward") == "/proc/sys/net/ipv4/ip_forward"
    assert path_of("net.ipv4.conf.eth0/100.rp_filter") == "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"


@pytest.mark.parametrize("name", ["", ".net", "/etc/passwd", "net..ipv4", "net.//.x"])
def test_sysctl_names_that_leave_the_tree_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a kernel setting"):
        path_of(name)
