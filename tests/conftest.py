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


LAB = "tests/lab/"
APART = "tests/lab/apart/"


class OneMachine(LoadScopeScheduling):
    """With two workers (`-n 2`): tests that share a lab run in one of them, one after the other; of the rest each file
    stays together, for the sake of its server or of labs of its own. What has labs is begun with, since it takes
    longest. (Groups by marker, `--dist loadgroup`, have no effect with pytest 9.2 and pytest-xdist 3.8.)"""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return LAB if path.startswith(LAB) and not path.startswith(APART) else path

    def _assign_work_unit(self, node: Any) -> None:
        scopes = list(self.workqueue)
        for scope in (*(s for s in scopes if s.startswith(APART)), *(s for s in scopes if s == LAB)):
            self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneMachine:
    return OneMachine(config, log)
