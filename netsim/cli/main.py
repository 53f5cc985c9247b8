"""The `netsim` command: a table of verbs, each imported only when it is used, so that every start is quick."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

from netsim import __version__

# name -> (module below netsim.cli with the Typer application, one line of help, topic in --help)
VERBS: dict[str, tuple[str, str, str]] = {
    "up": ("up", "Build a lab: nodes, API, DNS; wait until names resolve.", "Labs"),
    "down": ("down", "Remove a lab and everything of it.", "Labs"),
    "ls": ("ls", "List the labs on this machine.", "Labs"),
    "status": ("status", "Health of every part of a lab.", "Labs"),
    "backup": ("backup", "Write a lab's objects to a file (up --restore FILE).", "Labs"),
    "kubectl": ("", "The real kubectl on the lab; all arguments are passed on.", "Cluster"),
    "kubeconfig": ("kubeconfig", "Print the path of the lab's kubeconfig.", "Cluster"),
    "exec": ("exec", "A shell or command inside a node, a pod or the outside client.", "Network"),
    "image": ("image", "The lab's images: ls, load, pull, rm.", "Cluster"),
    "container": ("container", "What a container changed in its files: diff.", "Cluster"),
    "capture": ("capture", "Capture packets at several places at once.", "Network"),
    "rules": ("rules", "The rules of a Service in words, and what packets meet.", "Network"),
    "doctor": ("doctor", "What this machine has and lacks, with the mend.", "Machine"),
    "completion": ("completion", "Print a bash completion script.", "Machine"),
    "server": ("server", "Run the API server, controllers and scheduler alone.", "Components"),
    "node": ("node", "Run a node (agent and service proxy) alone.", "Components"),
    "proxy": ("proxy", "Run the service proxy alone, or render its rules.", "Components"),
    "dns": ("", "Run the cluster DNS server alone; `dns lookup`: one name in steps.", "Components"),
    "workloads": ("workloads", "Run a node's workload host alone.", "Components"),
    "token": ("token", "Make a join token on the control plane's machine.", "Components"),
}


def main() -> NoReturn:
    """Entry point. Help, version, `kubectl` and `dns` need no option parser, so none is loaded for them."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(render_help())
        sys.exit(0)
    if arguments[0] in ("-V", "--version", "version"):
        print(f"netsim {__version__}")
        sys.exit(0)
    if arguments[0] == "kubectl":
        from netsim.cli.kubectl import run_kubectl

        run_kubectl(arguments[1:])
    if arguments[0] not in VERBS:
        print(f"netsim: {unknown_verb(arguments[0])}", file=sys.stderr)
        sys.exit(2)
    if arguments[:2] == ["dns", "lookup"]:
        from netsim.cli.run import run_verb

        run_verb(importlib.import_module("netsim.cli.dns_lookup").app, "dns lookup", arguments[2:])
    if arguments[0] == "dns":  # runs in every DNS pod, where an option parser's memory would count
        from netsim_dns.main import main as run_dns

        sys.exit(run_dns(arguments[1:]))
    from netsim.cli.run import run_verb

    run_verb(importlib.import_module(f"netsim.cli.{VERBS[arguments[0]][0]}").app, arguments[0], arguments[1:])


def render_help() -> str:
    """The text of `netsim --help`: the verbs by topic, within 80 columns."""
    lines = ["Usage: netsim COMMAND [OPTIONS]", "", "A Kubernetes network you can take apart."]
    for topic in dict.fromkeys(topic for _, _, topic in VERBS.values()):
        lines += ["", f"{topic}:"]
        lines += [f"  {name:<11} {text}" for name, (_, text, t) in VERBS.items() if t == topic]
    lines += ["", "`netsim COMMAND --help` explains one of them, with an example."]
    return "\n".join([*lines, "Start here: sudo netsim up && sudo netsim kubectl get nodes -o wide"])


def unknown_verb(name: str) -> str:
    """What to say about a verb that does not exist."""
    if name.startswith("-"):
        return f"`{name}` before the command; options come after it, as in `netsim up --lab test`"
    import difflib

    near = difflib.get_close_matches(name, VERBS, 1)
    hint = f"did you mean `netsim {near[0]}`?" if near else "`netsim --help` lists the commands"
    return f"no such command `{name}`; {hint}"


if __name__ == "__main__":
    main()
