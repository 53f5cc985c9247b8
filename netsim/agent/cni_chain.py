"""Runs a node's CNI network (spec 1.0): plugins of the conflist in order on ADD, in reverse on DEL.

A plugin whose type is in the given mapping is called in process, any other is executed from CNI_PATH. What was added is
kept on disk before it is attempted, so that DEL finds it after a crash too.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netsim.agent.attachments import Attachments
from netsim.host.exec import CommandMissing, run

Config = dict[str, Any]
Plugin = Callable[[str, Config, Mapping[str, str]], Config | None]
IFNAME = "eth0"
TIMEOUT = 30.0
# What the agent passes on for a pod, where a plugin declares it.
CAPABILITIES = {"portMappings": True, "bandwidth": True}


class CniFailed(Exception):
    """A plugin refused or is not there; the text names plugin, command and what it said."""


class CniChain:
    """The network of one node. Methods block (files, plugins): call them on a thread."""

    def __init__(self, net_d: str, cache_dir: str, plugins: Mapping[str, Plugin], cni_path: Sequence[str]) -> None:
        self.net_d, self.plugins, self.cni_path = net_d, plugins, cni_path
        self._kept = Attachments(f"{cache_dir}/attachments.sqlite")
        self._loaded: tuple[str, int, Config] | None = None

    def add(self, container: str, netns: str, args: str, capabilities: Config | None = None) -> list[str]:
        """Attach a sandbox and give its addresses (without prefix length); on failure what was done is undone."""
        conflist = self.load()
        record = {"conflist": conflist, "netns": netns, "args": args, "capabilities": capabilities or {}}
        self._kept.save(container, record)
        try:
            result = self._add_all(container, record)
        except CniFailed:
            self.delete(container)
            raise
        self._kept.save(container, {**record, "result": result})
        return pod_addresses(result)

    def _add_all(self, container: str, record: Config) -> Config:
        result: Config | None = None
        for plugin in record["conflist"]["plugins"]:
            config = plugin_config(record["conflist"], plugin, result, record["capabilities"])
            result = self._call("ADD", plugin["type"], config, self._env("ADD", container, record)) or result
        return result or {}

    def delete(self, container: str) -> None:
        """Detach a sandbox that `add` was called for; one that is not known is no error. Raises CniFailed."""
        record = self._kept.read(container)
        if record is None:
            return
        # The plugins may run after the namespace is gone: the spec has CNI_NETNS empty then.
        gone = not os.path.exists(record["netns"])
        env = self._env("DEL", container, {**record, "netns": "" if gone else record["netns"]})
        for plugin in reversed(record["conflist"]["plugins"]):
            config = plugin_config(record["conflist"], plugin, record.get("result"), record["capabilities"])
            self._call("DEL", plugin["type"], config, env)
        self._kept.forget(container)

    def attached(self) -> list[str]:
        """Container ids that were added (perhaps not to the end) and not deleted."""
        return self._kept.containers()

    def load(self) -> Config:
        """The network's conflist: the first of net_d by name; raises CniFailed when there is none or it is broken."""
        names = sorted(n for n in _listdir(self.net_d) if n.endswith((".conflist", ".conf", ".json")))
        if not names:
            raise CniFailed(
                f"no CNI network configuration (*.conflist) in {self.net_d}; the node has no pod network yet"
            )
        path = f"{self.net_d}/{names[0]}"
        changed = os.stat(path).st_mtime_ns
        if self._loaded is None or self._loaded[:2] != (path, changed):
            self._loaded = (path, changed, _parse(path))
        return self._loaded[2]

    def _call(self, command: str, kind: str, config: Config, env: dict[str, str]) -> Config | None:
        plugin = self.plugins.get(kind)
        if plugin is None:
            return self._execute(command, kind, config, env)
        try:
            return plugin(command, config, env)
        except Exception as error:  # a plugin is foreign code: whatever it raises is its answer
            raise CniFailed(
                f"plugin type={kind!r} name={config.get('name')!r} failed ({command.lower()}): {error}"
            ) from error

    def _execute(self, command: str, kind: str, config: Config, env: dict[str, str]) -> Config | None:
        binary = next((p for d in self.cni_path if os.access(p := f"{d}/{kind}", os.X_OK)), None)
        if "/" in kind or binary is None:
            raise CniFailed(
                f"plugin {kind!r} is not in {':'.join(self.cni_path)}; install it there or change {self.net_d}"
            )
        try:
            done = run(
                [binary], input=json.dumps(config).encode(), env={**os.environ, **env}, timeout=TIMEOUT, check=False
            )
        except (CommandMissing, subprocess.SubprocessError, OSError) as error:
            raise CniFailed(f"plugin {binary}: {error}") from error
        try:
            answer = json.loads(done.stdout) if done.stdout.strip() else None
        except json.JSONDecodeError:
            answer = {"msg": done.stdout.decode(errors="replace")}
        if done.returncode != 0:
            said = f"{(answer or {}).get('msg', '')} {(answer or {}).get('details', '')}".strip()
            raise CniFailed(
                f"plugin {kind!r} failed ({command.lower()}): {said or done.stderr.decode(errors='replace')}"
            )
        return answer

    def _env(self, command: str, container: str, record: Config) -> dict[str, str]:
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": record["netns"],
            "CNI_IFNAME": IFNAME,
            "CNI_ARGS": record["args"],
            "CNI_PATH": ":".join(self.cni_path),
        }


def plugin_config(conflist: Config, plugin: Config, previous: Config | None, capabilities: Config) -> Config:
    """What one plugin of a conflist gets on stdin: name and version of the network, its capabilities, prevResult."""
    config = {k: v for k, v in plugin.items() if k != "capabilities"}
    config |= {"cniVersion": conflist["cniVersion"], "name": conflist["name"]}
    wanted = {k: capabilities[k] for k, on in (plugin.get("capabilities") or {}).items() if on and k in capabilities}
    if wanted:
        config["runtimeConfig"] = wanted
    return {**config, "prevResult": previous} if previous is not None else config


def pod_addresses(result: Config) -> list[str]:
    """The addresses of the pod's interface IFNAME, as containerd takes them: another plugin may tell of `lo` too."""
    names = [interface.get("name") for interface in result.get("interfaces") or []]
    found = [(ip.get("interface"), str(ip["address"]).partition("/")[0]) for ip in result.get("ips") or []]
    return [ip for index, ip in found if index is None or names[index : index + 1] in ([IFNAME], [])]


def cni_args(namespace: str, name: str, uid: str, container: str) -> str:
    """CNI_ARGS as Kubernetes' runtimes pass it."""
    return (
        f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};"
        f"K8S_POD_INFRA_CONTAINER_ID={container};K8S_POD_UID={uid}"
    )


def node_conflist(cidrs: Sequence[str], data_dir: str, mtu: int = 0) -> Config:
    """The conflist of a node whose podCIDRs are known and that has none yet; `mtu` of its pods, 0 for the default.

    Pods get an address of each of the CIDRs.
    """
    subnets: Config = {"ranges": [[{"subnet": cidr}] for cidr in cidrs]} if len(cidrs) > 1 else {"subnet": cidrs[0]}
    ipam = {"type": "host-local", **subnets, "dataDir": data_dir}
    plugin = {"type": "netsim", "capabilities": CAPABILITIES, **({"mtu": mtu} if mtu else {}), "ipam": ipam}
    return {"cniVersion": "1.0.0", "name": "netsim", "plugins": [plugin]}


def ensure_conflist(net_d: str, cidrs: Sequence[str], data_dir: str, mtu: int = 0) -> None:
    """Write the node's conflist unless net_d holds one."""
    os.makedirs(net_d, exist_ok=True)
    if not _listdir(net_d):
        draft = f"{net_d}/.10-netsim.new"
        with open(draft, "w", encoding="utf-8") as file:
            json.dump(node_conflist(cidrs, data_dir, mtu), file, indent=2)
        os.replace(draft, f"{net_d}/10-netsim.conflist")


def _listdir(path: str) -> list[str]:
    return [n for n in os.listdir(path) if not n.startswith(".")] if os.path.isdir(path) else []


def _parse(path: str) -> Config:
    with open(path, encoding="utf-8") as file:
        try:
            config = json.load(file)
        except json.JSONDecodeError as error:
            raise CniFailed(f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict) or "name" not in config:
        raise CniFailed(f"{path}: a network configuration needs a `name`")
    if "plugins" not in config:
        config = {"cniVersion": config.get("cniVersion", "0.3.1"), "name": config["name"], "plugins": [config]}
    config.setdefault("cniVersion", "1.0.0")
    return config
