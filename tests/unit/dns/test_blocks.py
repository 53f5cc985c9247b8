"""Server blocks of a Corefile: each has its own plugins, the longest zone that fits a name is whose it is.

All answers are those of CoreDNS 1.13.1 with the same blocks.
"""

from __future__ import annotations

from pathlib import Path

import dns.message
import dns.rcode
import pytest

from netsim_dns.config import ConfigError
from netsim_dns.index import build_index
from netsim_dns.main import load_settings
from netsim_dns.plugged import Plugged
from netsim_dns.responder import Responder
from netsim_dns.server import make_responder
from netsim_dns.settings import Settings
from netsim_dns.telemetry.metrics import Metrics

from .test_records import Obj, namespace, service

MAIN = """\
.:53 {
    bind 127.0.0.1
    kubernetes cluster.local
    any
    bufsize 800
    hosts {
        192.0.2.1 a.stub.test b.example.test
        fallthrough
    }
    rewrite name x.stub.test web.shop.svc.cluster.local
    rewrite name y.example.test web.shop.svc.cluster.local
}
"""
STUB = """\
stub.test:53 {
    bind 127.0.0.1
    hosts {
        192.0.2.7 h.stub.test x.example.test
    }
}
"""


def settings_of(path: Path, text: str) -> Settings:
    path.write_text(text)
    return load_settings({}, str(path))[0]


def plugged_of(settings: Settings, *more: Obj) -> tuple[Responder, Plugged]:
    index = build_index([namespace("shop"), service("web", {"clusterIPs": ["10.96.0.20"]}, "shop"), *more], 1)
    responder = make_responder(index, settings.dns)
    return responder, Plugged(settings, responder, Metrics())


def ask(responder: Responder, name: str, qtype: str = "A", **edns: int) -> dns.message.Message:
    answer = responder.udp(dns.message.make_query(name, qtype, **edns).to_wire())
    assert isinstance(answer, bytes)
    return dns.message.from_wire(answer)


def said(message: dns.message.Message) -> tuple[str, list[str]]:
    return dns.rcode.to_text(message.rcode()), [str(record) for rrset in message.answer for record in rrset]


def test_each_block_has_plugins_of_its_own(tmp_path: Path) -> None:
    responder, _ = plugged_of(settings_of(tmp_path / "Corefile", MAIN + STUB))
    assert said(ask(responder, "b.example.test.")) == ("NOERROR", ["192.0.2.1"])
    assert said(ask(responder, "y.example.test.")) == ("NOERROR", ["10.96.0.20"])
    assert said(ask(responder, "b.example.test.", "ANY")) == ("NOERROR", ['"ANY obsoleted" "See RFC 8482"'])
    assert said(ask(responder, "H.stub.test.")) == ("NOERROR", ["192.0.2.7"])
    assert said(ask(responder, "h.stub.test.", "ANY")) == ("NOERROR", [])
    for name in ("a.stub.test.", "x.stub.test."):
        assert said(ask(responder, name)) == ("SERVFAIL", [])
    sizes = [ask(responder, name, payload=2000).payload for name in ("h.stub.test.", "b.example.test.")]
    assert sizes == [2000, 800]


def test_blocks_come_and_go_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "Corefile"
    responder, plugged = plugged_of(settings_of(path, MAIN))
    assert said(ask(responder, "x.stub.test.")) == ("NOERROR", ["10.96.0.20"])
    plugged.configure(settings_of(path, MAIN + STUB))
    assert said(ask(responder, "h.stub.test.")) == ("NOERROR", ["192.0.2.7"])
    plugged.configure(settings_of(path, MAIN + STUB.replace("192.0.2.7", "192.0.2.8")))
    assert said(ask(responder, "h.stub.test.")) == ("NOERROR", ["192.0.2.8"])
    with pytest.raises(OSError, match="nosuch"):
        plugged.configure(settings_of(path, MAIN + STUB.replace("hosts {", f"hosts {tmp_path}/nosuch {{")))
    assert said(ask(responder, "h.stub.test.")) == ("NOERROR", ["192.0.2.8"])
    plugged.configure(settings_of(path, MAIN))
    assert said(ask(responder, "x.stub.test.")) == ("NOERROR", ["10.96.0.20"])


def test_aliases_lead_to_names_of_other_blocks(tmp_path: Path) -> None:
    text = "cluster.local:53 {\nkubernetes\n}\nexample.test:53 {\nhosts {\n192.0.2.9 h.example.test\n}\n}\n"
    alias = service("out", {"type": "ExternalName", "externalName": "h.example.test"}, "shop")
    responder, _ = plugged_of(settings_of(tmp_path / "Corefile", text), alias)
    assert said(ask(responder, "out.shop.svc.cluster.local.")) == ("NOERROR", ["h.example.test.", "192.0.2.9"])


def test_names_of_no_block_are_refused_and_those_of_one_fail(tmp_path: Path) -> None:
    text = "cluster.local:53 example.test:53 {\nkubernetes cluster.local\nforward corp.example.test 192.0.2.1\n}\n"
    responder, _ = plugged_of(settings_of(tmp_path / "Corefile", text))
    assert said(ask(responder, "www.other.test.")) == ("REFUSED", [])
    assert said(ask(responder, "1.0.96.10.in-addr.arpa.", "PTR")) == ("REFUSED", [])
    assert said(ask(responder, "www.example.test.")) == ("SERVFAIL", [])


def test_a_blocks_plugins_see_its_own_names_only(tmp_path: Path) -> None:
    text = "cluster.local:53 {\nkubernetes cluster.local in-addr.arpa\nany\nbufsize 700\n}\n"
    responder, _ = plugged_of(settings_of(tmp_path / "Corefile", text))
    for name, qtype in (("www.other.test.", "ANY"), ("1.0.96.10.in-addr.arpa.", "PTR")):
        reply = ask(responder, name, qtype, payload=1232)
        assert (said(reply), reply.payload) == (("REFUSED", []), 1232)


def test_what_a_rewrite_leads_to_is_for_the_same_block(tmp_path: Path) -> None:
    stub = STUB.replace("hosts {", "rewrite name r.stub.test web.shop.svc.cluster.local\nhosts {")
    responder, _ = plugged_of(settings_of(tmp_path / "Corefile", MAIN.replace(".:53", "cluster.local:53") + stub))
    assert said(ask(responder, "web.shop.svc.cluster.local.")) == ("NOERROR", ["10.96.0.20"])
    assert said(ask(responder, "r.stub.test.")) == ("SERVFAIL", [])


def test_the_cluster_answers_for_its_names_before_they_are_forwarded(tmp_path: Path) -> None:
    text = ".:53 {\nkubernetes cluster.local\nforward x.cluster.local 192.0.2.1\n}\n"
    responder, _ = plugged_of(settings_of(tmp_path / "Corefile", text))
    assert said(ask(responder, "a.x.cluster.local.")) == ("NXDOMAIN", [])


def test_a_corefile_needs_no_cluster(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "Corefile", ".:53 {\nhosts {\n192.0.2.7 h.test\n}\n}\n")
    assert settings.dns.zones == ()
    responder, _ = plugged_of(settings)
    assert said(ask(responder, "h.test.")) == ("NOERROR", ["192.0.2.7"])
    assert said(ask(responder, "web.shop.svc.cluster.local.")) == ("SERVFAIL", [])


def test_what_is_one_for_all_may_stand_in_any_block(tmp_path: Path) -> None:
    text = MAIN + STUB.replace("bind", "prometheus :9999\nready :8888\nreload 5s\nbind")
    found = settings_of(tmp_path / "Corefile", text)
    assert (found.metrics_listen, found.dns.ready_listen, found.reload) == (("0.0.0.0", 9999), ("0.0.0.0", 8888), 2.0)
    assert [block.counted for block in found.blocks] == [False, True]
    with pytest.raises(ConfigError, match="ready: another block does not say the same"):
        settings_of(tmp_path / "Corefile", MAIN.replace("any", "ready") + STUB.replace("bind", "ready :8888\nbind"))
