"""For all tests: properties have no time limit, since time never judges a test; and what may run side by side.

On CI (the variable CI is set) hypothesis tries the same examples every time; elsewhere it looks for new ones.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("netsim", parent=settings(), deadline=None)
settings.load_profile("netsim")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With two workers (`-n 2 --dist loadgroup`): what needs root shares the machine and runs in one of them, one test
    after the other; of the rest each file stays together, for its server's sake."""
    for item in items:
        rooted = item.get_closest_marker("root") or item.path.parent.name in ("kernel", "lab")
        group = "machine" if rooted else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
