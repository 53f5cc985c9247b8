from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.agent.env import CreateError
from netsim.agent.runtime.capabilities import ALL_CAPABILITIES, choose_capabilities
from netsim.agent.runtime.catalogue import (
    CatalogueError,
    Image,
    UnknownImage,
    is_in_process,
    load_catalogue,
    parse_catalogue,
    parse_reference,
    server_header,
)
from netsim.agent.runtime.crilog import LogFile, LogOptions, render_line, render_lines, tail_lines, to_epoch
from netsim.agent.runtime.launch import arguments, listen_ports, workload_kind
from netsim.agent.runtime.processes import clean_message
from netsim.agent.runtime.resp import Database, RespError, parse_command
from netsim.agent.runtime.spec import Bind, ProcessSpec, oci_config
from netsim.agent.runtime.users import Accounts, choose_user
from netsim.agent.runtime.workload_spec import WorkloadSpec, dump_spec, load_spec
from netsim.agent.runtime.workload_streams import mysql_greeting


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [
        ("nginx", "docker.io/library/nginx", ""),
        ("nginx:1.7.9", "docker.io/library/nginx", "1.7.9"),
        ("netsim/dns", "docker.io/netsim/dns", ""),
        ("docker.io/library/redis:7", "docker.io/library/redis", "7"),
        ("registry.k8s.io/e2e-test-images/agnhost:2.53", "registry.k8s.io/e2e-test-images/agnhost", "2.53"),
        ("localhost:5000/x", "localhost:5000/x", ""),
        ("nginx@sha256:ab", "docker.io/library/nginx", ""),
    ],
)
def test_references(text, repository, tag):
    found = parse_reference(text)
    assert (found.repository, found.tag) == (repository, tag)


@pytest.mark.parametrize(
    "name", ["nginx:1.7.9", "tomcat:8.5.5", "mysql:5.6", "wordpress", "redis", "httpd", "busybox", "netsim/dns"]
)
def test_a_courses_images_are_known(name):
    assert load_catalogue().resolve(name)


def test_unknown_image_names_the_nearest():
    with pytest.raises(
        UnknownImage, match=r"'ngnix:1' is not in .* nearest name in the catalogue is 'nginx'.*kind: http"
    ):
        load_catalogue().resolve("ngnix:1")


def test_user_catalogue_wins_and_tags_win(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "images: {'nginx:9': {kind: tcp-echo, ports: [9, 9/udp]}, mine: {kind: command, command: [sleep, 1]}}"
    )
    found = load_catalogue([str(path)])
    assert found.resolve("nginx:9").ports == ((9, "TCP"), (9, "UDP"))
    assert found.resolve("nginx").kind == "http" and found.resolve("mine").command == ("sleep", "1")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "expected a mapping `images:`"),
        ({"images": {"x": {"kind": "web"}}}, "kind: 'web' is none of"),
        ({"images": {"x": {"kind": "http", "port": 1}}}, "unknown field 'port'"),
        ({"images": {"x": {"kind": "http", "ports": [70000]}}}, "70000 is no port"),
        ({"images": {"x": {"kind": "command"}}}, "command: a list"),
    ],
)
def test_catalogue_errors_name_the_field(document, message):
    with pytest.raises(CatalogueError, match=message):
        parse_catalogue(document, "own.yaml")


def test_what_is_in_process():
    nginx = load_catalogue().resolve("nginx")
    assert is_in_process(nginx, None) and is_in_process(nginx, ["nginx", "-g", "daemon off;"])
    assert not is_in_process(nginx, ["sleep", "1"]) and not is_in_process(load_catalogue().resolve("busybox"), None)
    assert (
        server_header(nginx, "nginx:1.7.9-alpine") == "nginx/1.7.9"
        and server_header(nginx, "nginx:latest") == "nginx/1.27.5"
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, ["entry", "cmd"]),
        ({"args": ["a"]}, ["entry", "a"]),
        ({"command": ["c"]}, ["c"]),
        ({"command": ["c"], "args": ["a"]}, ["c", "a"]),
    ],
)
def test_arguments_take_the_place_of_the_images_own(spec, words):
    assert arguments(spec, Image("x", "command", command=("entry",), args=("cmd",))) == words


def test_a_shells_image_runs_what_it_is_given():
    assert arguments({"args": ["echo", "hi"]}, load_catalogue().resolve("busybox")) == ["echo", "hi"]


def test_listen_ports():
    image = Image("x", "http", ((80, "TCP"), (81, "UDP")))
    assert listen_ports({}, image) == ((80, "TCP"), (81, "UDP"))
    declared = {"ports": [{"containerPort": 8080}, {"containerPort": 8081, "protocol": "TCP"}]}
    assert listen_ports(declared, image) == ((8080, "TCP"), (8081, "TCP"), (81, "UDP"))
    assert listen_ports({"ports": [{"containerPort": 53, "protocol": "UDP"}]}, Image("x", "http", ((80, "TCP"),))) == (
        (80, "TCP"),
    )


@pytest.mark.parametrize(
    ("words", "kind", "ports"),
    [
        ({"command": ["/agnhost", "netexec", "--http-port=9090"]}, "agnhost", ((9090, "TCP"), (8081, "UDP"))),
        ({"args": ["netexec", "--http-port", "80", "--udp-port=-1"]}, "agnhost", ((80, "TCP"),)),
        ({"args": ["serve-hostname"]}, "hostname", ((9376, "TCP"),)),
        ({"args": ["netexec"], "ports": [{"containerPort": 82}]}, "agnhost", ((82, "TCP"), (8081, "UDP"))),
    ],
)
def test_agnhost_listens_where_its_flags_say(words, kind, ports):
    image = load_catalogue().resolve("registry.k8s.io/e2e-test-images/agnhost:2.53")
    assert (workload_kind(words, image), listen_ports(words, image)) == (kind, ports)
    with pytest.raises(CreateError, match="--http-port 70000 is no port"):
        listen_ports({"args": ["netexec", "--http-port=70000"]}, image)


def config(container=None, **more):
    spec = ProcessSpec(
        ["sh"],
        {"A": "1"},
        "/root",
        "h",
        "netsim/x",
        "/n",
        "/i",
        "/u",
        container=container or {},
        security=(container or {}).get("securityContext") or {},
        capabilities=ALL_CAPABILITIES,
        user=choose_user((container or {}).get("securityContext") or {}, "", Accounts()),
        **more,
    )
    return oci_config(spec)


def test_config_namespaces_and_defaults():
    found = config(binds=[Bind("/s", "/a/b", False), Bind("/usr", "/usr")])
    kinds = {n["type"]: n.get("path") for n in found["linux"]["namespaces"]}
    assert kinds == {"pid": None, "mount": None, "network": "/n", "ipc": "/i", "uts": "/u"}
    assert found["process"]["env"] == ["A=1"] and "CAP_NET_RAW" in found["process"]["capabilities"]["effective"]
    targets = [m["destination"] for m in found["mounts"]]
    assert targets.index("/usr") < targets.index("/a/b") and found["linux"]["cgroupsPath"] == "/netsim/x"
    assert json.dumps(found)


def test_config_limits_and_user():
    resources = {"limits": {"cpu": "250m", "memory": "64Mi"}, "requests": {"cpu": "100m"}}
    found = config({"resources": resources, "securityContext": {"runAsUser": 1000, "readOnlyRootFilesystem": True}})
    assert found["linux"]["resources"]["cpu"] == {"shares": 102, "quota": 25000, "period": 100000}
    assert found["linux"]["resources"]["memory"] == {"limit": 64 * 2**20}
    assert found["process"]["user"]["uid"] == 1000 and found["process"]["capabilities"]["effective"] == []
    assert found["root"]["readonly"] is True


def test_capabilities():
    assert choose_capabilities({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}) == {"CAP_NET_ADMIN"}
    assert choose_capabilities({"privileged": True}) == ALL_CAPABILITIES
    assert "CAP_SYS_ADMIN" not in choose_capabilities({})


def test_workload_spec_survives_json():
    spec = WorkloadSpec(
        "i", "http", "/n", "p", "ns", "node", "c", "nginx", "/log", ((80, "TCP"),), ("10.0.0.1",), "nginx"
    )
    assert load_spec(json.loads(json.dumps(dump_spec(spec)))) == spec


def test_log_lines():
    raw = [
        b"2026-01-01T00:00:01.123456789Z stdout F one\n",
        b"2026-01-01T00:00:02Z stderr P par\n",
        b"2026-01-01T00:00:02Z stderr F tial\n",
        b"junk\n",
    ]
    assert b"".join(render_lines(raw, LogOptions())) == b"one\npartial\n"
    assert (
        b"".join(render_lines(raw, LogOptions(timestamps=True, stream="Stdout")))
        == b"2026-01-01T00:00:01.123456789Z one\n"
    )
    assert b"".join(render_lines(raw, LogOptions(since=to_epoch(b"2026-01-01T00:00:02Z")))) == b"partial\n"
    assert (
        tail_lines(raw, 1) == raw[-1:]
        and tail_lines(raw, 0) == []
        and tail_lines(raw, -1) == raw
        and tail_lines(raw, 9) == raw
    )


@given(st.floats(0, 4e9), st.text(alphabet=st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])))
def test_a_written_line_is_read_back(epoch, text):
    line = render_line(epoch, text)
    assert b"".join(render_lines([line], LogOptions())) == text.encode() + b"\n"
    assert abs(to_epoch(line.split()[0]) - epoch) < 0.001


def test_log_file_drops_what_its_removed_pod_wrote(tmp_path):
    log = LogFile(str(tmp_path / "gone" / "logs" / "c" / "0.log"))
    log.add(b"x")
    log.flush()
    assert not log.dirty and not (tmp_path / "gone").exists()


def test_redis_commands():
    database = Database("7.4.2")
    run = lambda *words: database.run([w.encode() for w in words])  # noqa: E731
    assert run("PING") == b"+PONG\r\n" and run("ping", "x") == b"$1\r\nx\r\n" and run("echo", "hi") == b"$2\r\nhi\r\n"
    assert run("SET", "k", "5") == b"+OK\r\n" and run("INCR", "k") == b":6\r\n" and run("GET", "k") == b"$1\r\n6\r\n"
    assert run("GET", "none") == b"$-1\r\n" and run("SET", "t", "x") and run("INCR", "t").startswith(b"-ERR value")
    assert run("FLY").startswith(b"-ERR unknown command") and run("GET").startswith(b"-ERR wrong number")


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.binary(max_size=5), st.integers(0, 200))
def test_redis_framing(words, rest, cut):
    data = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
    assert parse_command(data + rest) == (words, len(data))
    if cut < len(data):
        assert parse_command(data[:cut]) is None


def test_redis_refuses_nonsense():
    assert parse_command(b"PING x\r\n") == ([b"PING", b"x"], 8)
    for data in (b"*x\r\n", b"*99999\r\n", b"*1\r\nx\r\n", b"*1\r\n$-1\r\n"):
        with pytest.raises(RespError):
            parse_command(data)


def test_mysql_greeting_is_a_packet():
    packet = mysql_greeting("5.6.51", 7)
    assert int.from_bytes(packet[:3], "little") == len(packet) - 4 and packet[3] == 0
    assert packet[4] == 10 and packet[5:].startswith(b"5.6.51\0") and packet.endswith(b"mysql_native_password\0")


def test_runc_messages_are_cleaned():
    raw = 'time="t" level=error msg="runc create failed: exec: \\"/x\\": no such file"\n'
    assert clean_message(raw) == 'runc create failed: exec: "/x": no such file'
