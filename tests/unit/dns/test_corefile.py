"""Corefiles: kubeadm's, what people add to it, and what is refused with the line and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsim_dns.config import ConfigError, DnsConfig
from netsim_dns.corefile.plugins import read_corefile
from netsim_dns.corefile.syntax import parse_corefile
from netsim_dns.corefile.values import duration_text
from netsim_dns.main import load_settings
from netsim_dns.settings import Settings

KUBEADM = """\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
"""


def settings_of(tmp_path: Path, text: str, *flags: str) -> Settings:
    path = tmp_path / "Corefile"
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 192.0.2.53\n")
    path.write_text(text.replace("/etc/resolv.conf", str(resolv)))
    words = {name.removeprefix("--"): [value] for name, value in zip(flags[::2], flags[1::2], strict=True)}
    return load_settings(words, str(path))[0]


def main_block(*lines: str) -> str:
    return "\n".join([".:53 {", "kubernetes cluster.local", *lines, "}"])


def test_kubeadms_own(tmp_path: Path) -> None:
    found = settings_of(tmp_path, KUBEADM)
    assert found.dns == DnsConfig(), "which is this profile"
    (zone,) = found.forward.zones
    assert (zone.zone, zone.upstreams, zone.max_concurrent) == (".", (("192.0.2.53", 53),), 1000)
    assert (zone.cache.success_ttl, zone.cache.denial_ttl) == (30, 30)
    assert found.metrics_listen == ("0.0.0.0", 9153) and found.log == () and found.reload == 2.0


def test_coredns_defaults_are_not_kubeadms(tmp_path: Path) -> None:
    found = settings_of(tmp_path, main_block()).dns
    assert (found.ttl, found.pods, found.fallthrough, found.cache_ttl) == (5, "disabled", False, 0)
    assert found.health_listen is None and found.ready_listen is None


def test_flags_win(tmp_path: Path) -> None:
    found = settings_of(tmp_path, KUBEADM, "--ttl", "9", "--forward", "192.0.2.1")
    assert found.dns.ttl == 9 and found.forward.zones[0].upstreams == (("192.0.2.1", 53),)


K3S = """\
.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    hosts NODEHOSTS {
        ttl 60
        reload 15s
        fallthrough
    }
    prometheus :9153
    cache 30
    loop
    reload
    loadbalance
    import /nonexistent/*.override
    forward . /etc/resolv.conf
}
import /nonexistent/*.server
"""
MINIKUBE = KUBEADM.replace(
    "    prometheus", "    hosts {\n 192.168.49.1 host.minikube.internal\n fallthrough\n }\n    log\n    prometheus"
)
OPENSHIFT = """\
.:5353 {
    bufsize 1232
    errors
    log . {
        class error
    }
    health {
        lameduck 20s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    prometheus 127.0.0.1:9153
    forward . /etc/resolv.conf {
        policy sequential
    }
    cache 900 {
        denial 9984 30
    }
    reload
}
"""
NODE_LOCAL = "".join(
    f"{zone}:53 {{\n    errors\n    cache {cache}\n    reload\n    loop\n    bind 169.254.20.10 10.96.0.10\n"
    f"    forward . {upstream}\n    prometheus :9253\n{more}}}\n"
    for zone, cache, upstream, more in (
        ("cluster.local", "{\n success 9984 30\n denial 9984 5\n}", "10.96.0.11 {\n force_tcp\n}",
         "    health 169.254.20.10:8080\n"),
        ("in-addr.arpa", "30", "10.96.0.11 {\n force_tcp\n}", ""),
        (".", "30", "/etc/resolv.conf", ""),
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "zones", "files"),
    [
        (K3S, [(".",)], 1),
        (MINIKUBE, [(".",)], 0),
        (OPENSHIFT, [(".",)], 0),
        (NODE_LOCAL, [("cluster.local.",), ("in-addr.arpa.",), (".",)], 0),
    ],
    ids=["k3s", "minikube", "OpenShift", "NodeLocal DNSCache"],
)
def test_those_of_distributions(tmp_path: Path, text: str, zones: list[tuple[str]], files: int) -> None:
    (tmp_path / "hosts").write_text("192.0.2.7 node-1\n")
    found = settings_of(tmp_path, text.replace("NODEHOSTS", str(tmp_path / "hosts")))
    assert [block.zones for block in found.blocks] == zones
    assert all(block.counted and block.forward.zones for block in found.blocks)
    assert bool(found.hosts) == ("hosts" in text) and len(found.hosts_files) >= files


def test_what_people_add(tmp_path: Path) -> None:
    more = "    errors { # all of them\n      stacktrace\n    }\n    log {\n class denial error\n}\n"
    text = KUBEADM.replace("    errors\n", more)
    text += """
corp.example:53 b.example {
    errors
    cache 10 {
        success 5000 60 7
        denial 3
        prefetch 3 1m30s 20%
        serve_stale 1h verify
        servfail 1s
    }
    forward . 192.0.2.1 dns://192.0.2.2:5300 {
        policy sequential
        except x.corp.example
        max_fails 3
        expire 500ms
        health_check 2s
        prefer_udp
        failover SERVFAIL refused
    }
}
"""
    found = settings_of(tmp_path, text)
    assert found.log == ("denial", "error")
    assert [zone.zone for block in found.blocks for zone in block.forward.zones] == [".", "corp.example", "b.example"]
    corp = found.others[0].forward.zones[0]
    assert corp.upstreams == (("192.0.2.1", 53), ("192.0.2.2", 5300))
    assert (corp.policy, corp.excluded, corp.max_fails, corp.expire) == ("sequential", ("x.corp.example",), 3, 0.5)
    assert (corp.health_interval, corp.prefer_udp, corp.failover) == (2.0, True, (2, 5))
    cache = corp.cache
    assert (cache.success_capacity, cache.success_ttl, cache.success_ttl_min) == (19 * 256, 60, 7)
    assert (cache.denial_capacity, cache.denial_ttl, cache.denial_ttl_min) == (1024, 10, 5)
    assert (cache.prefetch, cache.prefetch_window, cache.prefetch_percent) == (3, 90.0, 20)
    assert (cache.serve_stale, cache.stale_verify, cache.servfail_ttl) == (3600.0, True, 1.0)


def test_the_clusters_names_have_the_bounds_of_their_blocks_cache(tmp_path: Path) -> None:
    cache = "cache 30 {\nsuccess 5000 60 40\ndenial 5000 20 0\n}"
    found = settings_of(tmp_path, main_block(cache)).dns
    assert [found.through_cache(ttl) for ttl in (0, 50, 90)] == [40, 50, 60]
    assert [found.through_cache(ttl, denial=True) for ttl in (0, 9, 90)] == [0, 9, 20]


def test_places_and_variables() -> None:
    text = main_block("bind 127.0.0.1 ::1", "health localhost:8081", "ready :8182", "bufsize 1232", "log")
    found = read_corefile(text.replace(":53", ":{$PORT}"), {"PORT": "5353"}, str)
    assert found["listen"] == [("127.0.0.1", 5353), ("::1", 5353)]
    assert (found["health"], found["ready"], found["bufsize"], found["log"]) == (
        ("127.0.0.1", 8081), ("0.0.0.0", 8182), 1232, ["all"],
    )  # fmt: skip
    ranged = main_block().replace("cluster.local", "cluster.local 10.96.0.0/16")
    assert read_corefile(ranged, {}, str)["cluster-cidr"] == ["10.96.0.0/16"]


def test_what_the_kubernetes_plugin_answers_from(tmp_path: Path) -> None:
    text = """.:53 {
    kubernetes cluster.local {
        namespaces shop default
        labels app in (web, api)
        noendpoints
        endpoint_pod_names
        ignore empty_service
    }
}
"""
    found = settings_of(tmp_path, text).dns
    assert (found.namespaces, found.labels) == (("shop", "default"), "app in (web, api)")
    assert (found.endpoints, found.endpoint_pod_names, found.ignore_empty) == (False, True, True)


def test_hosts(tmp_path: Path) -> None:
    body = ("hosts {", "192.0.2.7 db.example db2.example", "ttl 60", "no_reverse", "reload 5s", "fallthrough", "}")
    hosts = settings_of(tmp_path, main_block(*body)).hosts
    assert (hosts.lines, hosts.files) == (("192.0.2.7 db.example db2.example",), ("/etc/hosts",))
    assert (hosts.ttl, hosts.reverse, hosts.zones, hosts.through) == (60, False, (".",), (".",))
    hosts = settings_of(tmp_path, main_block("hosts /x lan.test. {", "fallthrough a.lan.test", "}")).hosts
    assert (hosts.files, hosts.zones, hosts.through) == (("/x",), ("lan.test",), ("a.lan.test",))
    assert settings_of(tmp_path, main_block("hosts")).hosts.through == ()


def test_rewrites(tmp_path: Path) -> None:
    lines = (
        "rewrite name db.example svc1.testns.svc.cluster.local",
        "rewrite stop name exact a.test b.test answer auto",
    )
    found = settings_of(tmp_path, main_block(*lines, "rewrite name suffix .old.test .new.test answer auto")).rewrites
    assert [rule.suffix for rule in found] == [False, False, True]
    assert found[2].apply((b"x", b"old", b"test")) == (b"x", b"new", b"test")


def test_kinds_of_rewrites(tmp_path: Path) -> None:
    lines = (
        "rewrite name regex (.*)-a\\.test {1}.b.test answer name (.*)\\.b\\.test {1}-a.test",
        "rewrite stop name substring EU.test us.test",
        "rewrite name prefix old- new-",
        "rewrite name regex ^too-long {1}" + "x" * 64,
    )
    rules = settings_of(tmp_path, main_block(*lines)).rewrites
    names = ["x-a.test", "a.eu.test", "old-x.old-y", "x.old-y", "too-long"]
    found = [[rule.apply(tuple(map(str.encode, name.split(".")))) for rule in rules] for name in names]
    assert [[b".".join(each).decode() if each else None for each in row] for row in found] == [
        ["x.b.test", None, None, None],
        [None, "a.us.test", None, None],
        [None, None, "new-x.old-y", None],
        [None, None, None, None],
        [None, None, None, None],
    ]
    assert rules[0].apply((b"x-a.test", b"test")) is None, "a dot inside a label is none between labels"


def test_snippets_and_imports(tmp_path: Path) -> None:
    (tmp_path / "custom").mkdir()
    for name, lines in (("a.override", "log\nbufsize 1232\n"), ("b.server", "x.test:53 {\nforward . 192.0.2.1\n}\n")):
        (tmp_path / "custom" / name).write_text(lines)
    text = "(common) {\n errors\n cache {args[0]}\n}\n.:53 {\n kubernetes c.test\n import common 17\n"
    text += " import custom/*.override\n import none/*.override\n}\nimport custom/b.server\n"
    found = settings_of(tmp_path, text)
    assert (found.dns.zone, found.dns.cache_ttl, found.log, found.dns.bufsize) == ("c.test", 17, ("all",), 1232)
    assert [zone.zone for block in found.blocks for zone in block.forward.zones] == ["x.test"]
    assert [(block.zones, block.cached, block.log) for block in found.blocks] == [
        ((".",), True, ("all",)),
        (("x.test.",), False, ()),
    ]


def test_failures_that_get_a_line_together(tmp_path: Path) -> None:
    lines = (
        "forward . 192.0.2.1",
        "errors {",
        "consolidate 1m30s ^read.*timeout$ warning show_first",
        "stacktrace",
        "}",
    )
    (each,) = settings_of(tmp_path, main_block(*lines)).forward.zones[0].consolidated
    assert (each.period, each.shown, each.level, each.first) == (90.0, "1m30s", "warning", True)
    assert [duration_text(time) for time in (0.5, 30, 300, 3600)] == ["500ms", "30s", "5m0s", "1h0m0s"]


def test_words_and_braces() -> None:
    (block,) = parse_corefile('a.test,\nb.test {\n  p "two words" \\"x # c\n  q {\n    r 1\n  }\n}\n', {})
    assert block.keys == ["a.test", "b.test"] and block.plugins[0].arguments == ["two words", '\\"x']
    assert [(line.name, line.line) for line in block.plugins[1].body] == [("r", 5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the server blocks have 0 different ports"),
        (".:53 {", "line 1: the block that begins here has no closing brace"),
        (".:53\n", "line 1: a server block begins with its zones"),
        ("}\n", "line 1: a server block begins with its zones"),
        (".:53 {\n p {\n x }\n }", "line 3: a brace that closes stands in a line of its own"),
        (main_block() + "\nx.test:53 {\nkubernetes x.test\n}", "2 server blocks have the kubernetes plugin"),
        (main_block() + "\nx.test:53 {\nbind 127.0.0.1\n}", "the server blocks `bind` different addresses"),
        (main_block() + "\nx.test:54 {\n}", "have 2 different ports"),
        (main_block("template ANY ANY"), "line 3: template: this plugin is not served; leave it out, or run CoreDNS"),
        (main_block("log example.org"), "line 3: log: names and formats are not served"),
        (main_block("log {", "class most", "}"), "line 4: class: 'most' is unknown, use success, denial, error, all"),
        (main_block("log {", "colour red", "}"), "line 4: colour: log has `class` with success, denial, error, all"),
        (main_block("bind 127.0.0.1 {", "except 127.0.0.2", "}"), "line 4: except: not served; bind has nothing in"),
        (main_block("hosts", "hosts /etc/hosts"), "line 4: hosts: its block has one before; write both as one"),
        (main_block("prometheus :9153") + "\nx.test:53 {\nprometheus\n}", "line 6: prometheus: another block does not"),
        (main_block("health {", "lameduck soon", "}"), "line 4: lameduck: 'soon' is not a duration such as 5s"),
        (main_block("hosts hosts {", "192.0.2.7 a", "}"), "line 3: hosts: 'hosts' is no file's whole path"),
        (main_block("rewrite name regex (.* x"), "line 3: rewrite: '(.*' is no regular expression"),
        (main_block("rewrite continue name a.test b.test"), "line 3: rewrite: only `rewrite name"),
        (main_block("rewrite type ANY HINFO"), "line 3: rewrite: only `rewrite name [KIND] FROM TO"),
        (main_block("rewrite name a.b c.d answer value x y"), "line 3: rewrite: of `answer` only `answer auto`"),
        (main_block("errors {", "consolidate soon .*", "}"), "line 4: consolidate: 'soon' is not a duration"),
        (main_block("errors {", "colour", "}"), "line 4: colour: errors has `consolidate DURATION REGEXP"),
        *(
            (main_block(*lines), message)
            for lines, message in (
                (("errors stderr",), "line 3: errors: stderr: lines go to stdout"),
                (("errors", "errors"), "line 4: errors: its block has one before"),
                (("health {", "lameduck 5", "}"), "line 4: lameduck: '5' is not a duration such as 5s"),
                (("health 8085",), "line 3: health: '8085' has no port"),
                (("reload 1s",), "line 3: reload: 1s: give at least 2s"),
                (("cache 0",), "line 3: cache: 0 seconds: give at least 1"),
                (("cache {", "denial 100 0", "}"), "line 4: denial: 0 seconds"),
                (("cache {", "prefetch 1 1m 10", "}"), "line 4: prefetch: '10' is no percentage such as 10%"),
                (("cache {", "serve_stale 1h later", "}"), "line 4: serve_stale: not served as it is written"),
                (("forward . 192.0.2.1 {", "except", "}"), "line 4: except: not served as it is written"),
                (("forward . 192.0.2.1 {", "next", "}"), "line 4: next: not served as it is written"),
                (("forward . 192.0.2.1 {", "expire 5", "}"), "line 4: expire: '5' is not a duration"),
                (("forward . 192.0.2.1 {", "health_check 1s domain", "}"), "line 4: health_check: not served as"),
                (("bind",), "line 3: bind: 0 values, give at least one"),
                (("hosts {", "ttl 0", "}"), "line 4: ttl: 0 is out of range, use 1 to 65535 seconds"),
                (("hosts {", "ttl", "}"), "line 4: ttl: 0 values, give 1"),
                (("hosts {", "reload soon", "}"), "line 4: reload: 'soon' is not a duration"),
                (('errors "stdout',), "line 3: \"stdout: this quotation mark has no other one in its line"),
            )
        ),
        (main_block() + "\n.:53 {\n}", "server block .:53 is there twice; write both as one"),
        (".:53 {\nkubernetes a.test {\nlabels ==\n}\n}", "line 3: labels: "),
        (".:53 {\nkubernetes a.test {\nnamespaces\n}\n}", "line 3: namespaces: 0 values, give at least one"),
        (main_block("autopath"), "line 3: autopath: give `@kubernetes` or a resolv.conf"),
        (main_block("autopath @erratic"), "line 3: autopath: @erratic: only @kubernetes knows the search paths"),
        (main_block("autopath @kubernetes"), "dns autopath: a client's search path is known by its pod; set pods to"),
        (main_block("import other"), "line 3: import: 'other' is no snippet before this line, nor a file"),
        ("(a) {\nimport a\n}\n.:53 {\nimport a\n}\n", "line 5: import: 'a' is no snippet"),
        ("(a) {\nerrors\n", "line 1: the snippet that begins here has no closing brace"),
        (main_block("loadbalance weighted /w"), "line 3: loadbalance: addresses come in random order"),
        (main_block("ready {", "monitor continuously", "}"), "line 4: monitor: once ready is ready"),
        (main_block("forward ."), "line 3: forward: give a zone and its upstreams"),
        (main_block("forward . https://192.0.2.1"), "upstreams are asked by UDP, TCP and TLS only"),
        (main_block("forward . tls://192.0.2.1 192.0.2.2"), "upstreams with tls:// and without"),
        (main_block("forward . 192.0.2.1 {", "policy best", "}"), "line 4: policy: not served as it is written"),
        (main_block("forward . 192.0.2.1 {", "failover BAD", "}"), "'BAD' is not an rcode such as SERVFAIL"),
        (main_block("forward . example.org"), "line 3: forward: dns forward example.org: upstream 'example.org' is"),
        (main_block("cache 30 {", "colour red", "}"), "line 4: colour: not served as it is written; cache has"),
        (main_block("cache 30 corp.example"), "corp.example: a cache is for all that its server block forwards"),
        (main_block("bind eth0"), "line 3: bind: 'eth0' is no address; interfaces are not looked up"),
        (main_block("prometheus :9153 :9154"), "line 3: prometheus: 2 values, give 0 to 1"),
        (".:53 {\nkubernetes\n}", "kubernetes: 0 zones that are not reverse; give the"),
        (".:53 {\nkubernetes a.test {\nmulticluster x\n}\n}", "line 3: multicluster: not served; kubernetes has pods"),
        (".:53 {\nkubernetes a.test {\nignore all\n}\n}", "line 3: ignore: unknown; it is `ignore empty_service`"),
        (".:53 {\nkubernetes a.test {\nnamespaces a\nnamespace_labels b\n}\n}", "namespace-labels is given too"),
        (".:53 {\nkubernetes a.test {\nttl 5000\n}\n}", "ttl: 5000 is out of range"),
        (".:53 {\nkubernetes a.test {\npods some\n}\n}", "line 3: pods: 'some' is unknown"),
        (".:99999 {\n}", "server block '.:99999': '99999' is no port"),
        ("tls://.:853 {\n}", "server block 'tls://.:853': '//.:853' is no port"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as failure:
        settings_of(tmp_path, text)
    assert message in str(failure.value)
    assert str(failure.value).startswith(f"{tmp_path}/Corefile: ")


def test_a_directorys_corefile_wins(tmp_path: Path) -> None:
    (tmp_path / "dns.yaml").write_text("ttl: 7\n")
    assert load_settings({}, str(tmp_path))[0].dns.ttl == 7
    (tmp_path / "Corefile").write_text(main_block())
    assert load_settings({}, str(tmp_path))[0].dns.ttl == 5
