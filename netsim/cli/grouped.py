"""Options in groups, and kube-proxy's flags as options: for the verbs that run a service proxy.

The flags come from the proxy's own table. They are written as kube-proxy's: a switch is `--name` or `--name=false`.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from netsim.cli.fault import Fault
from netsim_proxy.flags import FLAGS, UNUSED, Flag, parse_flags, show_default

_META = "netsim_proxy.flags"
_SWITCHES = {f"--{flag.name}" for flag in FLAGS if flag.kind == "bool"}
_SWITCHES |= {f"--{name}" for name, kind in UNUSED.items() if kind == "bool"}


def given_flags(context: Any) -> dict[str, Any]:
    """The fields of ProxyConfig that flags on the command line set."""
    try:
        return parse_flags(context.meta.get(_META, {}))
    except ValueError as error:
        raise Fault(str(error)) from None


def _remember(context: Any, option: Any, value: str | None) -> None:
    if value is not None:
        context.meta.setdefault(_META, {})[option.opts[0].removeprefix("--")] = value


def _option(flag: Flag) -> TyperOption:
    default = show_default(flag)
    help = f"{flag.help}{f' [{default}]' if default else ''}"
    metavar = flag.metavar or "true|false"
    return TyperOption(
        param_decls=[f"--{flag.name}"], type=str, metavar=metavar, help=help, callback=_remember, expose_value=False,
        rich_help_panel=flag.group,
    )  # fmt: skip


def _tell_unused(_context: Any, option: Any, value: str | None) -> None:
    if value is not None:
        typer.echo(f"{option.opts[0]}: ignored, as it means nothing here", err=True)


def _unused_option(name: str) -> TyperOption:
    """Taken, so that a command line made for kube-proxy works, and not shown."""
    return TyperOption(param_decls=[f"--{name}"], type=str, hidden=True, callback=_tell_unused, expose_value=False)


class _Flags:
    """What a command and a group of commands have in common here."""

    without: tuple[str, ...] = ()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        taken = {name for parameter in self.params for name in parameter.opts}  # type: ignore[attr-defined]
        wanted = [flag for flag in FLAGS if f"--{flag.name}" not in taken and flag.name not in self.without]
        self.params.extend(_option(flag) for flag in wanted)  # type: ignore[attr-defined]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """A switch alone is a switch that is true; what follows it is not its value."""
        full = [f"{word}=true" if word in _SWITCHES else word for word in args]
        parsed: list[str] = super().parse_args(ctx, full)  # type: ignore[misc]
        return parsed

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """One section for each group, in the order of the options."""
        groups: dict[str, list[Any]] = {"Options": []}
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=24)


class FlagCommand(_Flags, TyperCommand):
    """A command that takes kube-proxy's flags beside its own options."""


class FlagGroup(_Flags, TyperGroup):
    """The same for a command that has others below it, which it lists. It takes all of kube-proxy's flags."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params.extend(_unused_option(name) for name in UNUSED)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)
