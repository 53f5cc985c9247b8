"""`python -m netsim.cli` is `netsim`."""

from netsim.cli.main import main

main()
