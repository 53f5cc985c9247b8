"""kube-proxy's flags on netsim's command lines, and its configuration files."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from netsim.cli import proxy as proxy_verb
from netsim.cli.fault import Fault
from netsim.cli.node import app as node_app
from netsim.cli.proxy import app as proxy_app
from netsim.cli.proxy_config import read_proxy_config
from netsim.client.rest import Client
from netsim_proxy.flags import API_VERSION, FLAGS, KIND

SMALL = Path(__file__).parents[2] / "golden" / "proxy" / "small.json"


def render(*words: str) -> str:
    done = CliRunner().invoke(proxy_app, list(words))
    if isinstance(done.exception, Fault):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_switch_stands_alone_or_has_a_value_and_may_stand_before_the_verb():
    file = ("render", "-f", str(SMALL), "--hostname-override", "node1")
    plain = render(*file)
    alone, given = render(*file, "--masquerade-all"), render(*file, "--masquerade-all=true")
    assert plain != alone == given == render("--masquerade-all", *file)
    assert render(*file, "--masquerade-all=false") == plain
    assert "! -d 127.0.0.0/8" in render(*file, "--iptables-localhost-nodeports=false")
    assert "0x8/0x8" in render(*file, "--iptables-masquerade-bit=3")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--iptables-masquerade-bit", "40"], "--iptables-masquerade-bit 40: give a bit from 0 to 31"),
        (["--masquerade-all=perhaps"], "--masquerade-all 'perhaps': not usable; give true or false"),
        (["--detect-local-mode", "BridgeInterface"], "needs --pod-bridge-interface"),
        (["--config", "/nowhere"], "/nowhere: No such file"),
    ],
)
def test_wrong_values_are_told(words: list[str], says: str):
    with pytest.raises(Fault, match=says):
        render("render", "-f", str(SMALL), *words)


def test_rules_are_rendered_from_a_configuration_file(tmp_path: Path):
    file = str(written(tmp_path / "config.yaml", mode="nftables", hostnameOverride="node1"))
    assert render("render", "-f", str(SMALL), "--config", file).startswith("table ip kube-proxy")
    for before in (("--config", file), ("--cleanup",)):
        with pytest.raises(Fault, match="--config goes behind `render`"):
            render(*before, "render", "-f", str(SMALL))


def test_every_flag_is_an_option_where_a_proxy_runs():
    proxy, node = (
        {name for parameter in typer.main.get_command(app).params for name in parameter.opts}
        for app in (proxy_app, node_app)
    )
    flags = {f"--{flag.name}" for flag in FLAGS}
    assert flags | {"--cleanup", "--config", "--init-only", "--kubeconfig", "--write-config-to"} <= proxy
    assert flags - {"--hostname-override"} <= node


def test_the_flags_become_a_configuration_file_that_says_the_same(tmp_path: Path):
    file = tmp_path / "config.yaml"
    render("--masquerade-all", "--proxy-mode", "nftables", "--write-config-to", str(file))
    fields = read_proxy_config(file)
    assert (fields["mode"], fields["masquerade_all"], fields["conntrack_min"]) == ("nftables", True, 131072)
    with pytest.raises(Fault, match="--write-config-to /nowhere/x: No such file"):
        render("--write-config-to", "/nowhere/x")


def test_a_command_line_made_for_kube_proxy_is_taken():
    file = ("-f", str(SMALL), "--hostname-override", "node1")
    words = ("--kube-api-qps=50", "--ipvs-strict-arp", "--v=2", "--oom-score-adj", "-999", "--feature-gates=A=true")
    done = CliRunner().invoke(proxy_app, [*words, "render", *file])
    assert (done.exit_code, done.stdout) == (0, render("render", *file))
    told = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert sorted(told) == ["--feature-gates", "--ipvs-strict-arp", "--kube-api-qps", "--oom-score-adj"]


def test_the_api_is_a_kubeconfigs_or_the_masters_or_that_of_the_pods_cluster(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Fault, match=r"--kubeconfig: give the kubeconfig of the API to follow.*not run in a pod"):
        proxy_verb._client(None, "")
    with pytest.raises(Fault, match="--master 'here:6443': give a URL"):
        proxy_verb._client(None, "here:6443")
    assert isinstance(proxy_verb._client(None, "http://127.0.0.1:1"), Client)


def test_help_has_a_section_for_each_group_and_fits_the_terminal():
    text = CliRunner().invoke(proxy_app, ["--help"], prog_name="netsim proxy").output
    assert [f"{group}:" in text for group in dict.fromkeys(flag.group for flag in FLAGS)] == [True] * 4
    assert max(map(len, text.splitlines())) <= 80


def written(path: Path, **fields: object) -> Path:
    path.write_text(json.dumps({"apiVersion": API_VERSION, "kind": KIND, **fields}))
    return path


def test_a_file_for_all_nodes_is_checked_before_anything_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "config.yaml"
    assert read_proxy_config(written(file, mode="nftables", winkernel={"networkName": "x"})) == {"mode": "nftables"}
    assert "ignored, as it means nothing here: winkernel\n" in capsys.readouterr().err
    for fields, says in (
        ({"hostnameOverride": "a"}, "hostnameOverride is one node's"),
        ({"mode": "ipvs"}, "'ipvs': not known"),
        ({"iptables": {"syncPeriod": "soon"}}, "iptables.syncPeriod 'soon': not usable"),
        ({"kind": "Pod"}, "expected a document with apiVersion"),
    ):
        with pytest.raises(Fault, match=says):
            read_proxy_config(written(file, **fields))
    with pytest.raises(Fault, match="No such file"):
        read_proxy_config(tmp_path / "none")


async def test_a_changed_configuration_ends_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(proxy_verb, "_LOOK_AT_FILE_SECONDS", 0.005)
    file = written(tmp_path / "config.yaml")
    watching = asyncio.create_task(proxy_verb._until_changed(file))
    await asyncio.sleep(0.05)
    assert not watching.done()
    file.unlink()
    with pytest.raises(Fault, match="it was changed; start the proxy again"):
        await asyncio.wait_for(watching, 5)
