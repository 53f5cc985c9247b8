"""The command line alone: options, files, and errors that name the mend."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from netsim_dns.config import ConfigError, DnsConfig
from netsim_dns.files import load_objects
from netsim_dns.main import main, make_config, parse_listen, parser


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


@pytest.mark.parametrize("text", ["", ":53", "127.0.0.1:dns", "127.0.0.1:70000"])
def test_bad_listen(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"127\.0\.0\.1:5353"):
        parse_listen(text)


def test_options_become_settings() -> None:
    words = ["--zone", "k8s.test.", "--ttl", "5", "--listen", "127.0.0.1:53", "--listen", "[::1]:53"]
    config = make_config(parser().parse_args(words))
    assert (config.zone, config.ttl) == ("k8s.test", 5)
    assert config.listen == (("127.0.0.1", 53), ("::1", 53))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ttl": 3601}, "ttl: 3601 is out of range, use 0 to 3600"),
        ({"pods": "verified"}, "pods: 'verified' is not served"),
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


def test_yaml_documents_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "objects.yaml"
    path.write_text(MANIFEST)
    assert [obj["kind"] for obj in load_objects(str(path))] == ["Namespace", "Service"]


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
