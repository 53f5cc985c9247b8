"""The command line alone: options, files, and errors that name the mend."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dns.message
import dns.query
import pytest

from netsim_dns.config import ConfigError, DnsConfig, Quirks
from netsim_dns.files import parse_objects, replace_objects
from netsim_dns.index import Index, build_index
from netsim_dns.main import given_words, load_settings, main, parser
from netsim_dns.options import OPTIONS, parse_document, parse_listen
from netsim_dns.responder import Responder
from netsim_dns.settings import Settings, keep_fixed
from support.labs import until


def settings_of(*words: str, config: str | None = None) -> Settings:
    return load_settings(given_words(parser().parse_args(words)), config)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("0.0.0.0", ("0.0.0.0", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("::1", ("::1", 53)),
    ],
)
def test_listen(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":53", "127.0.0.1:dns", "127.0.0.1:70000", "localhost:5353", "[::1:53", "[::1]53"]
)
def test_bad_listen(text: str) -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:5353"):
        parse_listen(text)


def test_options_become_settings() -> None:
    words = ["--zone", "k8s.test.", "--ttl", "5", "--listen", "127.0.0.1:53", "--listen", "[::1]:53"]
    config = settings_of(*words).dns
    assert (config.zone, config.ttl) == ("k8s.test", 5)
    assert config.listen == (("127.0.0.1", 53), ("::1", 53))
    refusing = Quirks(class_ignored=False)
    assert settings_of().dns == DnsConfig(health_listen=None, ready_listen=None, quirks=refusing)


def test_the_file_says_the_same_as_flags_and_flags_win(tmp_path: Path) -> None:
    path = tmp_path / "dns.yaml"
    path.write_text(
        "ttl: 5\nlisten: 127.0.0.1:5353\ncluster-cidr: [10.0.0.0/8, 'fd00::/64']\nlog: [denial, error]\n"
        "forward: [192.0.2.1, '192.0.2.2:5300']\nstub-domain: {corp.example: [192.0.2.53], x.example: 192.0.2.54}\n"
    )
    words = ["--ttl", "5", "--listen", "127.0.0.1:5353", "--cluster-cidr", "10.0.0.0/8", "--cluster-cidr", "fd00::/64"]
    words += ["--log", "denial", "--log", "error", "--forward", "192.0.2.1", "--forward", "192.0.2.2:5300"]
    words += ["--stub-domain", "corp.example=192.0.2.53", "--stub-domain", "x.example=192.0.2.54"]
    found = settings_of(config=str(path))
    assert found == settings_of(*words)
    assert [zone.zone for zone in found.forward.zones] == ["corp.example", "x.example", "."]
    assert settings_of("--ttl", "9", config=str(path)).dns.ttl == 9
    path.write_text("# nothing yet\n")
    assert settings_of(config=str(path)) == settings_of()


def test_upstreams_of_a_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\nsearch x\nnameserver fd00::53\nnameserver 192.0.2.1\n")
    (zone,) = settings_of("--forward", str(path), "--cache", "10", "--forward-policy", "sequential").forward.zones
    assert zone.upstreams == (("192.0.2.1", 53), ("fd00::53", 53))
    assert (zone.policy, zone.cache.success_ttl, zone.cache.denial_ttl) == ("sequential", 10, 10)


def test_without_a_cache_failures_are_not_kept_either() -> None:
    kept = [settings_of("--forward", "192.0.2.1", *more).forward.zones[0].cache for more in ((), ("--cache", "0"))]
    assert [(cache.success_ttl, cache.servfail_ttl) for cache in kept] == [(30, 5.0), (0, 0.0)]


def test_a_policy_is_that_of_a_corefiles_upstreams(tmp_path: Path) -> None:
    path = tmp_path / "Corefile"
    path.write_text(".:53 {\n kubernetes cluster.local\n forward . 192.0.2.1\n}\n")
    (zone,) = settings_of("--forward-policy", "sequential", config=str(path)).forward.zones
    assert (zone.upstreams, zone.policy) == ((("192.0.2.1", 53),), "sequential")


def test_reverse_zones_may_be_ranges() -> None:
    zones = settings_of("--reverse-zones", "10.96.0.0/15", "--reverse-zones", "ip6.arpa").dns.reverse_zones
    assert zones == ("96.10.in-addr.arpa", "97.10.in-addr.arpa", "ip6.arpa")


def test_upstreams_by_tls() -> None:
    words = ["--forward", "tls://192.0.2.1", "--forward", "tls://192.0.2.2:8853", "--stub-domain", "a.test=192.0.2.3"]
    stub, others = settings_of(*words).forward.zones
    assert others.upstreams == (("192.0.2.1", 853), ("192.0.2.2", 8853)) and others.tls is not None
    assert stub.tls is None
    with pytest.raises(ConfigError, match=r"dns forward \.: upstreams with tls:// and without"):
        settings_of("--forward", "tls://192.0.2.1", "--forward", "192.0.2.2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tll: 5", "unknown setting `tll`; did you mean `ttl`?"),
        ("colour: red", "unknown setting `colour`; there are listen, zone, "),
        ("ttl: five", "ttl: 'five' is not a whole number such as 30"),
        ("ttl: [5, 6]", "ttl: give one value"),
        ("ttl:", "ttl: None is not a value"),
        ("ttl: true", "ttl: 'true' is not a whole number"),
        ("ignore-empty: maybe", "ignore-empty: 'maybe' is unknown, use true, false"),
        ("listen: []", "listen: give at least one address"),
        ("ttl: []", "ttl: give one value"),
        ("- ttl", "it must be a mapping of settings, such as `ttl: 30`"),
        ("ttl: [", "not valid YAML"),
        ("log: most", "log: 'most' is unknown, use success, denial, error, all"),
        ("lameduck: long", "lameduck: 'long' is not a number of seconds"),
        ("stub-domain: corp.example", "'corp.example' is not ZONE=ADDRESS"),
        ("cluster-cidr: 10.96.0.1/16", "cluster-cidr: 10.96.0.1/16 has host bits set; use a range such as"),
        ("forward: dns.example", "upstream 'dns.example' is not an IP address"),
        ("forward: /nonexistent/resolv.conf", "/nonexistent/resolv.conf"),
        ("ttl: 4000", "ttl: 4000 is out of range"),
        ("reverse-zones: 10.0.0.0/33", "reverse-zones: '10.0.0.0/33' does not appear to be an IPv4 or IPv6 network"),
        ("reverse-zones: corp.example", "reverse-zones: 'corp.example' is no zone of addresses, such as 96.10.in-addr"),
        ("autopath: true", "autopath: a client's search path is known by its pod; set pods to verified"),
    ],
)
def test_bad_files_name_the_key_and_the_mend(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dns.yaml"
    path.write_text(text)
    assert main(["-f", "/dev/null", "--config", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("netsim dns: ") and message in said


def test_what_is_no_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    binary, hosts = tmp_path / "x.yaml", tmp_path / "hosts"
    for path in (binary, hosts):
        path.write_bytes(b"ttl: \xff")
    assert main(["--config", str(binary)]) == main(["-f", str(binary)]) == 1
    assert main(["-f", "/dev/null", "--hosts", str(hosts), "--listen", "127.0.0.1:0"]) == 1
    said = capsys.readouterr().err
    assert said.count("not UTF-8: invalid start byte at byte 5") == 3 and "Traceback" not in said


def test_bad_flags_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ttl", "five"]) == 2
    assert capsys.readouterr().err == "netsim dns: --ttl: 'five' is not a whole number such as 30\n"
    assert main(["--config", "/nonexistent.yaml"]) == 1
    assert "--config /nonexistent.yaml: No such file or directory" in capsys.readouterr().err


def test_help_fits_80_columns_and_the_readme_knows_every_setting() -> None:
    assert all(len(line) <= 80 for line in parser().format_help().splitlines())
    readme = (Path(__file__).parents[3] / "dns" / "README.md").read_text()
    assert [o.name for o in OPTIONS if f"| `{o.name}` |" not in readme] == []


def test_some_settings_need_a_new_start() -> None:
    old = settings_of("--listen", "127.0.0.1:53", "--metrics", "127.0.0.1:9153", "--ttl", "5")
    new = settings_of("--listen", "127.0.0.1:54", "--ttl", "6", "--log", "all", "--workers", "2", "--reload", "9")
    kept, fixed = keep_fixed(old, new)
    assert (kept.dns.listen, kept.dns.ttl, kept.metrics_listen, kept.log, kept.workers, kept.reload) == (
        new.dns.listen, 6, None, ("all",), 1, 2.0,
    )  # fmt: skip
    assert fixed == ["workers", "reload"]
    assert {option.name for option in OPTIONS if option.fixed} == {"workers", "startup-timeout", "reload"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ttl": 3601}, "ttl: 3601 is out of range, use 0 to 3600"),
        ({"pods": "all"}, "pods: 'all' is not known"),
        ({"udp_max": 100}, "udp_max: 100"),
        ({"zone": "a..b"}, "zone: 'a..b'"),
        ({"zone": ""}, "zone: ''"),
    ],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DnsConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("ttl", "cache", "seen"), [(30, 30, 30), (0, 30, 5), (300, 30, 30), (0, 0, 0), (5, 0, 5)])
def test_the_cache_bounds_the_ttl(ttl: int, cache: int, seen: int) -> None:
    assert DnsConfig(ttl=ttl, cache_ttl=cache).effective_ttl == seen


@pytest.mark.parametrize(
    ("ttl", "cache", "name", "seen"),
    [
        (3600, 0, "a.", (300, 3600)),
        (3600, 300, "a.", (60, 3600)),
        (0, 300, "a.", (5, 0)),
        (5, 300, "dns-version.", (300, 0)),
        (5, 3600, "dns-version.", (3600, 0)),
        (5, 0, "dns-version.", (28800, 0)),
    ],
)
def test_denials_have_a_bound_of_their_own_and_data_is_not_the_caches(
    ttl: int, cache: int, name: str, seen: tuple[int, int]
) -> None:
    """TTL of the only record, and the SOA's minimum (or 0): what a cache changes are TTLs, no data."""
    responder = Responder(build_index([], 1), DnsConfig(ttl=ttl, cache_ttl=cache, denial_ttl=60 if cache else None))
    reply = responder.udp(dns.message.make_query(f"{name}cluster.local.", "TXT").to_wire())
    assert isinstance(reply, bytes)
    message = dns.message.from_wire(reply)
    (record,) = message.answer or message.authority
    assert (record.ttl, getattr(record[0], "minimum", 0)) == seen


MANIFEST = """
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: default}
  spec: {clusterIP: 10.96.0.20}
---
"""


def test_yaml_documents_and_lists() -> None:
    assert [obj["kind"] for obj in parse_objects("x", MANIFEST)] == ["Namespace", "Service"]
    assert parse_document(None) == {}


def test_only_what_differs_between_two_files_is_a_change() -> None:
    index = Index()
    known = replace_objects(index, {}, parse_objects("x", MANIFEST), 1)
    generation = index.generation
    known = replace_objects(index, known, parse_objects("x", MANIFEST), 2)
    assert index.generation == generation and index.serial == 1
    known = replace_objects(index, known, parse_objects("x", MANIFEST.replace("0.20", "0.21")), 3)
    assert index.generation == generation + 1 and bytes((10, 96, 0, 21)) in index.by_cluster_ip
    replace_objects(index, known, [], 4)
    assert not index.services and not index.namespaces


@pytest.mark.parametrize(
    "text",
    [
        "kind: Service\nmetadata: {name: a, namespace: b}\nspec: text",
        "kind: Service\nmetadata: {name: a, namespace: b}\nspec: {clusterIP: 10.0.0.1, ports: [80]}",
        "kind: EndpointSlice\naddressType: IPv4\nendpoints: [x]\n"
        "metadata: {name: a, namespace: b, labels: {kubernetes.io/service-name: a}}",
        "kind: Service\nmetadata: {name: 5, namespace: [b]}\nspec: {clusterIP: 10.0.0.1}",
    ],
)
def test_objects_of_another_shape_are_named_and_nothing_is_taken_over(text: str) -> None:
    index = Index()
    known = replace_objects(index, {}, parse_objects("x", MANIFEST), 1)
    with pytest.raises(ConfigError, match="is not as the API has it"):
        replace_objects(index, known, parse_objects("x", f"{MANIFEST}\n---\n{text}".replace("0.20", "0.21")), 2)
    assert index.serial == 1 and bytes((10, 96, 0, 20)) in index.by_cluster_ip


@pytest.mark.parametrize("text", ["kind: [", "kind: Service\nmetadata: {}", '{"kind": "Service"}'])
def test_bad_files_are_named(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "objects.yaml"
    path.write_text(text)
    assert main(["-f", str(path), "--listen", "127.0.0.1:0"]) == 1
    assert f"netsim dns: dns objects file {path}" in capsys.readouterr().err


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", "/nonexistent.yaml"]) == 1
    assert "/nonexistent.yaml" in capsys.readouterr().err


def test_a_process_outside_pods_is_told_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main(["--listen", "127.0.0.1:0"]) == 1
    assert "netsim dns: KUBERNETES_SERVICE_HOST is not set" in capsys.readouterr().err


class Running:
    """A server in a process of its own, its files and its pages."""

    def __init__(self, directory: Path) -> None:
        self.config, self.objects = directory / "dns.yaml", directory / "objects.yaml"
        self.port, self.metrics, self.health = free_port(), free_port(), free_port()
        self.objects.write_text(MANIFEST)
        self.write_config(ttl=7)
        words = ["-f", str(self.objects), "--config", str(self.config), "--listen", f"127.0.0.1:{self.port}"]
        words += ["--metrics", f"127.0.0.1:{self.metrics}", "--health", f"127.0.0.1:{self.health}", "--reload", "60"]
        with open(directory / "log", "wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "netsim_dns", *words], stdout=log, stderr=log)
        self.log = directory / "log"

    def write_config(self, **settings: object) -> None:
        """As a ConfigMap's volume does: the new file is there whole or not at all."""
        new = self.config.with_suffix(".new")
        new.write_text(json.dumps({"lameduck": 0, **settings}))
        new.rename(self.config)

    def look(self) -> None:
        self.process.send_signal(signal.SIGUSR1)

    def ask(self, name: str = "web.default.svc.cluster.local.") -> dns.message.Message:
        return dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=self.port, timeout=5)

    def ttl_and_address(self) -> tuple[int, str]:
        (found,) = self.ask().answer
        return found.ttl, str(found[0])

    def page(self, port: int, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def value(self, row: str) -> float:
        rows = [line for line in self.page(self.metrics, "/metrics").splitlines() if line.startswith(row)]
        return sum(float(line.rpartition(" ")[2]) for line in rows)


def test_a_second_interrupt_ends_the_lameduck(tmp_path: Path) -> None:
    (tmp_path / "objects.yaml").write_text(MANIFEST)
    words = ["-f", str(tmp_path / "objects.yaml"), "--listen", f"127.0.0.1:{free_port()}", "--lameduck", "600"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "netsim_dns", *words], stdout=log, stderr=log)
    try:
        until(lambda: "zone cluster.local on" in (tmp_path / "log").read_text())
        assert (tmp_path / "log").read_text().splitlines()[0] == f".:{words[3].partition(':')[2]} on 127.0.0.1", (
            "as CoreDNS says"
        )
        until(lambda: process.send_signal(signal.SIGINT) or process.poll() is not None)  # type: ignore[func-returns-value]
        assert process.returncode == 2, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """Free for both: one that the kernel gives for UDP may be in use for TCP."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp, suppress(OSError):
            udp.bind(("127.0.0.1", 0))
            tcp.bind(udp.getsockname())
            return int(udp.getsockname()[1])
    raise AssertionError("no port of 127.0.0.1 is free")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("dns"))
    try:
        until(lambda: server.process.poll() is not None or "zone cluster.local on" in server.log.read_text())
        yield server
    finally:
        server.process.terminate()
        assert server.process.wait(timeout=10) == 0, server.log.read_text()


def test_a_changed_configuration_is_taken_over(running: Running) -> None:
    before = running.page(running.metrics, "/metrics")
    running.write_config(ttl=9, log="all")
    running.look()
    until(lambda: running.ttl_and_address()[0] == 9)
    line = '"A IN web.default.svc.cluster.local. udp 47 false 512" NOERROR qr,aa,rd'
    until(lambda: line in running.log.read_text())
    version = "coredns_reload_version_info{"
    assert running.value(version) == 1
    row = next(line for line in before.splitlines() if line.startswith(version))
    assert row not in running.page(running.metrics, "/metrics"), "the hash is the new file's"


def test_zones_and_what_is_answered_from_change_too(running: Running) -> None:
    for changed, name, rcode in (
        ({"zone": "a.test"}, "web.default.svc.a.test.", 0),
        ({"pods": "disabled"}, "1-2-3-4.default.pod.cluster.local.", 3),
        ({"namespaces": ["other"]}, "web.default.svc.cluster.local.", 3),
        ({"labels": "app=none"}, "web.default.svc.cluster.local.", 3),
        ({}, "web.default.svc.cluster.local.", 0),
    ):
        running.write_config(**changed)
        running.look()
        until(lambda name=name, rcode=rcode: running.ask(name).rcode() == rcode)
    assert "needs a new start" not in running.log.read_text()


def test_a_page_moves_with_the_settings(running: Running) -> None:
    places = free_port(), free_port()
    for place, other in (places, places[::-1]):
        running.write_config(ready=f"127.0.0.1:{place}")
        running.look()
        until(lambda place=place: is_open(place) and running.page(place, "/ready") == "OK")
        until(lambda other=other: not is_open(other))
    with socket.create_server(("127.0.0.1", places[0])):
        running.write_config(ready=f"127.0.0.1:{places[0]}", ttl=13)
        running.look()
        until(lambda: f"cannot serve /ready on 127.0.0.1 port {places[0]}: " in running.log.read_text())
        assert running.page(places[1], "/ready") == "OK" and running.ttl_and_address()[0] != 13
    running.write_config()
    running.look()
    until(lambda: not is_open(places[1]))


def is_open(port: int) -> bool:
    with socket.socket() as tcp:
        return tcp.connect_ex(("127.0.0.1", port)) == 0


def test_a_broken_configuration_is_refused(running: Running) -> None:
    running.write_config(ttl=11)
    running.look()
    until(lambda: running.ttl_and_address()[0] == 11)
    failed = running.value("coredns_reload_failed_total")
    running.write_config(tll=5)
    running.look()
    until(lambda: running.value("coredns_reload_failed_total") == failed + 1)
    assert "unknown setting `tll`; did you mean `ttl`?; the configuration before stays" in running.log.read_text()
    assert running.ttl_and_address()[0] == 11


def test_no_query_is_lost_while_settings_change(running: Running) -> None:
    """Queries are on their way all the time; each is answered, by the settings before or after."""
    seen = set()
    for ttl in range(20, 40):
        running.write_config(ttl=ttl)
        running.look()
        seen |= {running.ttl_and_address()[0] for _ in range(20)}
    until(lambda: running.ttl_and_address()[0] == 30, why="39 is cut to the cache's 30")
    assert len(seen) > 1


def test_a_changed_file_of_objects_is_taken_over(running: Running) -> None:
    running.objects.write_text(MANIFEST.replace("10.96.0.20", "10.96.0.21"))
    running.look()
    until(lambda: running.ttl_and_address()[1] == "10.96.0.21")
    running.objects.write_text("kind: [")
    running.look()
    until(lambda: "the objects before stay" in running.log.read_text())
    assert running.ttl_and_address()[1] == "10.96.0.21"


def test_hosts_are_taken_over_with_the_settings_and_when_their_file_changes(running: Running) -> None:
    table = running.config.with_name("hosts")
    table.write_text("192.0.2.7 db.example\n")
    rewrite = "other.example web.default.svc.cluster.local"
    running.write_config(hosts=[str(table), "192.0.2.9 own.example"], rewrite=rewrite, ttl=7)
    running.look()
    until(lambda: running.ttl_and_address()[0] == 7)
    assert [str(r[0]) for r in running.ask("own.example.").answer] == ["192.0.2.9"]
    assert [str(r[0]) for r in running.ask("db.example.").answer] == ["192.0.2.7"]
    assert running.ask("other.example.").answer[0][0] == running.ask().answer[0][0]
    table.write_text("192.0.2.8 db.example\n")
    running.look()
    until(lambda: [str(r[0]) for r in running.ask("db.example.").answer] == ["192.0.2.8"])
    table.write_text("nonsense\n")
    running.look()
    until(lambda: "the hosts before stay" in running.log.read_text())
    assert running.value(f'coredns_hosts_entries{{hostsfile="{table}"}}') == 4


def test_pages(running: Running) -> None:
    assert running.page(running.health, "/health") == "OK"
    asked = running.value("coredns_dns_requests_total")
    running.ask()
    assert running.value("coredns_dns_requests_total") == asked + 1
    assert running.value("process_virtual_memory_bytes") > running.value("process_resident_memory_bytes") > 1e6
    assert running.value("process_max_fds") > running.value("process_open_fds") > 3
    assert running.value("process_virtual_memory_max_bytes") == -1
    until(lambda: running.value("coredns_health_request_duration_seconds_count") > 0, why="it asks itself each second")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        running.page(running.metrics, "/other")
