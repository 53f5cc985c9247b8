"""`netsim completion`: a bash script that completes verbs, options, labs and places; kubectl completes itself."""

from __future__ import annotations

import importlib
from typing import Any

import typer.main

from netsim.cli.main import VERBS
from netsim.cli.options import make_app

app = make_app()

SCRIPT = """\
# bash completion of netsim; load it with: source <(netsim completion)
_netsim() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} verb=${{COMP_WORDS[1]}} before=${{COMP_WORDS[COMP_CWORD-1]}} options= below=
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W "{verbs}" -- "$word"))
        return
    fi
    case $verb in
        kubectl)
            local found
            found=$(netsim kubectl __complete "${{COMP_WORDS[@]:2:COMP_CWORD-2}}" "$word" 2>/dev/null)
            found=$(sed '/^:/d;s/\\t.*//' <<<"$found")
            COMPREPLY=($(compgen -W "$found" -- "$word"))
            return ;;
{cases}
    esac
    if [ "$before" = --lab ]; then
        options=$(netsim ls -o json 2>/dev/null | grep -o '"name": "[^"]*' | cut -d'"' -f4)
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    elif [ -n "$below" ] && [ "$COMP_CWORD" = 2 ]; then
        COMPREPLY=($(compgen -W "$below" -- "$word"))
    elif [ "$verb" = rules ] && [ "$before" = --to ]; then
        COMPREPLY=($(compgen -W "clusterip nodeport lb external" -- "$word"))
    elif [ "$verb" = rules ] && [ "$before" != --from ] && [ "$before" != --node ]; then
        options=$(netsim kubectl get services -o name 2>/dev/null | cut -d/ -f2)
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    elif [[ $verb == @(exec|capture|rules|dns|container) ]]; then
        local places
        places=$(netsim kubectl get nodes,pods -o name 2>/dev/null | cut -d/ -f2)
        COMPREPLY=($(compgen -W "client $places" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}}
complete -F _netsim netsim
"""


@app.command(epilog="Example: netsim completion > /etc/bash_completion.d/netsim")
def completion() -> None:
    """Print a bash completion script."""
    commands = {verb: _command(module) for verb, (module, _, _) in VERBS.items() if module}
    options = {verb: _options(command) for verb, command in commands.items()}
    options["dns"] = [*_options(_command("dns_lookup")), *_server_options()]
    below = {verb: sorted(getattr(command, "commands", {})) for verb, command in commands.items()} | {"dns": ["lookup"]}
    print(render_script(options, below), end="")


def render_script(options: dict[str, list[str]], below: dict[str, list[str]]) -> str:
    """The script, from every verb's options and the commands below it."""
    cases = [
        f'        {verb}) options="{" ".join(names)}" below="{" ".join(below.get(verb, ()))}" ;;'
        for verb, names in options.items()
    ]
    return SCRIPT.format(verbs=" ".join(VERBS), cases="\n".join(cases))


def _server_options() -> list[str]:
    """Those of `netsim dns` itself, which has a parser of its own."""
    from netsim_dns.options import OPTIONS

    return ["--config", "--file", "--kubeconfig", *(f"--{option.name}" for option in OPTIONS)]


def _command(module: str) -> Any:
    return typer.main.get_command(importlib.import_module(f"netsim.cli.{module}").app)


def _options(command: Any) -> list[str]:
    """A command's options and those of the commands below it."""
    parts = [command, *getattr(command, "commands", {}).values()]
    names = {name for part in parts for parameter in part.params for name in parameter.opts}
    return sorted({"--help", *(name for name in names if name.startswith("-"))})
