"""`python -m netsim_dns`."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
