"""For all tests: properties have no time limit, since time never judges a test.

On CI (the variable CI is set) hypothesis tries the same examples every time; elsewhere it looks for new ones.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("netsim", parent=settings(), deadline=None)
settings.load_profile("netsim")
