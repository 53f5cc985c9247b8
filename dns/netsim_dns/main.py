"""The command line of the server alone: `python -m netsim_dns`, and what `netsim dns` calls."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .config import ConfigError
from .options import OPTIONS, Words, parse_document, parse_words

# What serves is imported once it is known that there is something to serve: --help is quick without it.
if TYPE_CHECKING:
    from .reload import ConfigFile, ReadFile
    from .settings import Settings
    from .workers import Worker

ABOUT = """\
The cluster's DNS server: answers from Services, EndpointSlices and Namespaces.
Without -f and --kubeconfig it watches the API of the cluster it is a pod of."""
EXAMPLE = """\
examples:
  netsim dns -f objects.yaml --listen 127.0.0.1:5353
  dig @127.0.0.1 -p 5353 web.default.svc.cluster.local

  netsim dns --kubeconfig admin.conf --listen 127.0.0.1:5353
  netsim dns --config dns.yaml        (ttl: 5, log: [error, denial], ...)
  netsim dns lookup web --from toolbox     (`netsim dns lookup --help`)
"""


_CONFIG = "YAML of the settings below, or a Corefile (by its name); of a directory its Corefile, else its dns.yaml"


def parser() -> argparse.ArgumentParser:
    """The options and their help."""
    options = argparse.ArgumentParser(
        "netsim dns", description=ABOUT, epilog=EXAMPLE, formatter_class=_Formatter, allow_abbrev=False
    )
    source = options.add_mutually_exclusive_group()
    source.add_argument("-f", "--file", help="serve the objects of a YAML or JSON file, without an API")
    source.add_argument("--kubeconfig", metavar="FILE", help="the API to watch (the pod's own)")
    options.add_argument("--config", metavar="FILE|DIRECTORY", help=_CONFIG)
    settings = options.add_argument_group("settings (default)")
    for option in OPTIONS:
        settings.add_argument(
            f"--{option.name}", metavar=option.metavar, help=option.help, action="append", default=argparse.SUPPRESS
        )
    return options


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=80)


def given_words(options: argparse.Namespace) -> Words:
    """The settings among the options that were given."""
    names = {option.name.replace("-", "_"): option.name for option in OPTIONS}
    return {names[key]: value for key, value in vars(options).items() if key in names}


def read_settings(flags: Words, path: str, text: str) -> Settings:
    """Settings from the text of a configuration file and the flags, which win. Raises ConfigError, OSError."""
    from .reload import read_file
    from .settings import make_settings

    try:
        values = _read_corefile(path, text) if _is_corefile(path) else _read_yaml(path, text)
        return make_settings(values | parse_words(flags, "--{}".format), read_file)
    except ConfigError as failure:
        raise ConfigError(f"{path}: {failure}") from None


def _read_yaml(path: str, text: str) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as failure:
        raise ConfigError(f"not valid YAML: {failure}") from None
    return parse_words(parse_document(document), str)


def _read_corefile(path: str, text: str) -> dict[str, Any]:
    from .corefile.plugins import read_corefile
    from .reload import read_file, read_files

    return read_corefile(text, os.environ, read_file, partial(read_files, os.path.dirname(path)))


def _meaning(path: str, text: str) -> object:
    """A Corefile's blocks, which remarks and blanks do not change but what it imports does; of others the text."""
    from .corefile.syntax import parse_corefile
    from .reload import read_files

    if not _is_corefile(path):
        return text
    try:
        blocks = parse_corefile(text, os.environ, partial(read_files, os.path.dirname(path)))
    except ConfigError:
        return text
    return [(block.keys, [directive.words for directive in block.plugins]) for block in blocks]


def _is_corefile(path: str) -> bool:
    return "corefile" in os.path.basename(path).lower()


def load_settings(flags: Words, path: str | None) -> tuple[Settings, ConfigFile | None]:
    """The settings, and the configuration file to follow if there is one. Raises ConfigError, OSError."""
    from .reload import ConfigFile, find_config, read_file
    from .settings import make_settings

    if path is None:
        return make_settings(parse_words(flags, "--{}".format), read_file), None
    file = _read(lambda: find_config(path), "--config")
    config = ConfigFile(file, partial(read_settings, flags), _meaning)
    return config.parse(file.path, file.text), config


def _read(find: Callable[[], str], what: str) -> ReadFile:
    from .reload import ReadFile, read_file

    path = find()
    try:
        return ReadFile(path, read_file(path), find)
    except OSError as failure:
        raise ConfigError(f"{what} {path}: {failure.strerror}") from failure


async def serve(options: argparse.Namespace, worker: Worker) -> None:
    """Serve from a file or from an API until told to stop."""
    from .run import run_dns, run_dns_alone, run_dns_objects

    settings, config = load_settings(given_words(options), options.config)
    if options.file:
        objects = _read(lambda: options.file, "dns objects file")
        await run_dns_objects(settings, objects, config, worker)
        return
    if not settings.dns.zones:
        await run_dns_alone(settings, config, worker)
        return
    from netsim.client.kubeconfig import KubeconfigError, in_cluster_client, load_client

    try:
        client = load_client(options.kubeconfig) if options.kubeconfig else in_cluster_client()
    except KubeconfigError as failure:
        raise ConfigError(f"{failure}; give --kubeconfig or -f, see --help") from failure
    try:
        await run_dns(settings, client, config, worker)
    finally:
        await client.close()


def run_worker(options: argparse.Namespace, worker: Worker) -> int:
    """Serve as one of the workers; the exit status."""
    import asyncio

    from .eventloop import DnsLoop

    try:
        with asyncio.Runner(loop_factory=DnsLoop) as runner:
            runner.run(serve(options, worker))
    except (ConfigError, OSError) as failure:
        return _fail(failure)
    return 0


def _fail(failure: Exception, status: int = 1) -> int:
    print(f"netsim dns: {failure}", file=sys.stderr)
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 after a stop by signal, 1 with a message if it cannot run, 2 if the options are wrong."""
    options = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="[%(levelname)s] %(message)s")
    try:
        parse_words(given_words(options), "--{}".format)
    except ConfigError as failure:
        return _fail(failure, status=2)
    from .limits import raise_open_files
    from .workers import run_workers

    raise_open_files()
    try:
        settings, _ = load_settings(given_words(options), options.config)
    except (ConfigError, OSError) as failure:
        return _fail(failure)
    return run_workers(settings.workers, lambda worker: run_worker(options, worker))
