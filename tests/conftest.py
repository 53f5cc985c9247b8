"""For all tests: properties have no time limit, since time never judges a test; and what may run side by side.

On CI (the variable CI is set) hypothesis tries the same examples every time; elsewhere it looks for new ones.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("netsim", parent=settings(), deadline=None)
settings.load_profile("netsim")


LABS = "tests/lab/"


class OneMachine(LoadScopeScheduling):
    """With two workers (`-n 2`): tests with labs run in one of them, one after the other, and are begun with, since
    they take longest; of the rest each file stays together, for its server's sake. (Groups by marker, `--dist
    loadgroup`, have no effect with pytest 9.2 and pytest-xdist 3.8.)"""

    def _split_scope(self, nodeid: str) -> str:
        return LABS if nodeid.startswith(LABS) else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: Any) -> None:
        if LABS in self.workqueue:
            self.workqueue.move_to_end(LABS, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneMachine:
    return OneMachine(config, log)
