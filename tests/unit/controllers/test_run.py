"""What the controllers' caches hold."""

from __future__ import annotations

import importlib
import pkgutil

import netsim.controllers
from netsim.api.kinds import Kind
from netsim.controllers.run import CACHED, METADATA_ONLY


def test_no_controller_reads_a_kind_of_which_only_metadata_is_cached() -> None:
    assert set(CACHED) >= METADATA_ONLY
    names = [module.name for module in pkgutil.iter_modules(netsim.controllers.__path__)]
    for name in sorted({*names} - {"run"}):
        module = importlib.import_module(f"netsim.controllers.{name}")
        read = {value for value in vars(module).values() if isinstance(value, Kind)}
        assert not read & METADATA_ONLY, f"netsim.controllers.{name} reads {read & METADATA_ONLY}"
