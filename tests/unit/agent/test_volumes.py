from __future__ import annotations

import os

import pytest

from netsim.agent.env import ConfigError, MountError
from netsim.agent.runtime.volume_files import write_files
from netsim.agent.volumes import TokenRequest, decode_data, references, volume_files

DATA = {("ConfigMap", "conf"): {"a": b"1", "b": b"2"}, ("Secret", "cred"): {"pw": b"x"}}


def files(volume, pod):
    return volume_files({"name": "v", **volume}, pod, lambda kind, name: DATA.get((kind, name)), {})


def test_config_map_and_items(pod):
    assert files({"configMap": {"name": "conf"}}, pod()).files == {"a": (b"1", 0o644), "b": (b"2", 0o644)}
    items = [{"key": "b", "path": "x/y", "mode": 0o400}]
    assert files({"secret": {"secretName": "cred", "defaultMode": 0o600}}, pod()).files == {"pw": (b"x", 0o600)}
    assert files({"configMap": {"name": "conf", "items": items}}, pod()).files == {"x/y": (b"2", 0o400)}
    assert files({"configMap": {"name": "no", "optional": True}}, pod()).files == {}
    with pytest.raises(ConfigError, match='configmap "no" not found'):
        files({"configMap": {"name": "no"}}, pod())
    failed = 'MountVolume.SetUp failed for volume "v" : references non-existent config key: z'
    with pytest.raises(MountError, match=failed):
        files({"configMap": {"name": "conf", "items": [{"key": "z", "path": "z"}]}}, pod())


def test_projected(pod):
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "conf", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    volume = {"name": "v", "projected": {"sources": sources, "defaultMode": 0o444}}
    found = files(volume, pod())
    assert found.files == {"ca.crt": (b"1", 0o444), "namespace": (b"shop", 0o444)}
    assert found.tokens == [(TokenRequest("token", "", 3607), 0o444)]
    assert references(pod(volumes=[volume])) == {("ConfigMap", "conf")}


def test_decoding():
    assert decode_data({"kind": "Secret", "data": {"a": "aGk="}}) == {"a": b"hi"}
    assert decode_data({"kind": "ConfigMap", "data": {"a": "hi"}, "binaryData": {"b": "AA=="}}) == {
        "a": b"hi",
        "b": b"\0",
    }


def test_files_change_as_a_whole(tmp_path):
    directory = str(tmp_path / "v")
    assert write_files(directory, {"a": (b"1", 0o600), "d/e": (b"2", 0o644)})
    assert (tmp_path / "v" / "d" / "e").read_bytes() == b"2" and os.stat(f"{directory}/a").st_mode & 0o777 == 0o600
    assert not write_files(directory, {"a": (b"1", 0o600), "d/e": (b"2", 0o644)})
    assert write_files(directory, {"b": (b"3", 0o644)})
    assert sorted(n for n in os.listdir(directory) if not n.startswith("..")) == ["b"]
    assert len(os.listdir(directory)) == 3
    os.symlink("..nothing", f"{directory}/..data.new")  # an agent was killed before it put this in its place
    assert write_files(directory, {"b": (b"4", 0o644)}) and (tmp_path / "v" / "b").read_bytes() == b"4"
    for bad in ("/x", "../x", "a/../../x"):
        with pytest.raises(ConfigError, match="must be relative"):
            write_files(directory, {bad: (b"", 0o644)})
