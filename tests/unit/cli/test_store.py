from __future__ import annotations

import socket
from pathlib import Path

import pytest

from netsim.cli.fault import Fault
from netsim.cli.store import USER_VARIABLE, check_store, parse_store
from netsim.store.etcd_config import EtcdConfig


def test_addresses() -> None:
    assert parse_store("") is None
    assert parse_store("etcd://a") == EtcdConfig(("http://a:2379",))
    assert parse_store("etcd://a:1,b,[::1]:3/team/") == EtcdConfig(
        ("http://a:1", "http://b:2379", "http://[::1]:3"), root="/team"
    )
    secure = parse_store("etcds://a:1", "/ca", "/crt", "/key")
    assert secure == EtcdConfig(("https://a:1",), "", "/ca", "/crt", "/key")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("http://a",), "etcd://HOST:PORT"),
        (("etcd://",), "etcd://HOST:PORT"),
        (("etcd://a:b",), "port is no number"),
        (("etcd://[::1",), "the address is none"),
        (("etcd://a,,b",), "empty host"),
        (("etcd://u:p@a",), "no password in an address"),
        (("etcd://a", "/ca"), "write etcds://"),
        (("etcds://a", "/ca", "/crt"), "go together"),
        (("", "/ca"), "go with --store"),
    ],
)
def test_refusals_name_the_mend(arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(Fault, match=why):
        parse_store(*arguments)


def test_credentials_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user").write_text("netsim:ge:heim\n")
    found = parse_store("etcd://a", user_file=str(tmp_path / "user"))
    assert found is not None and (found.user, found.password) == ("netsim", "ge:heim")
    monkeypatch.setenv(USER_VARIABLE, "other:secret")
    found = parse_store("etcd://a")
    assert found is not None and (found.user, found.password) == ("other", "secret")
    (tmp_path / "user").write_text("netsim")
    with pytest.raises(Fault, match="USER:PASSWORD"):
        parse_store("etcd://a", user_file=str(tmp_path / "user"))
    with pytest.raises(Fault, match="No such file"):
        parse_store("etcd://a", user_file=str(tmp_path / "none"))


def test_an_etcd_that_does_not_answer_is_named_before_anything_is_made():
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Fault, match=rf"--store: etcd at http://127.0.0.1:{port} does not answer: .*; start etcd"):
            check_store(parse_store(f"etcd://127.0.0.1:{port},127.0.0.1:{port}"))
    check_store(None)
