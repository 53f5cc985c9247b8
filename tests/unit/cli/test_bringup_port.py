"""The API server's port on 127.0.0.1: labs that are brought up at once do not get one port between them."""

from __future__ import annotations

import pytest

from netsim.cli.bringup import BringUpFailed, _listen_locally


def test_each_lab_listens_on_a_port_of_its_own_and_a_taken_one_is_named() -> None:
    with _listen_locally(0) as one, _listen_locally(0) as other:
        ports = [sock.getsockname()[1] for sock in (one, other)]
        assert len(set(ports)) == 2
        with pytest.raises(BringUpFailed, match=f"port {ports[1]} on 127.0.0.1 is taken; give another --api-port"):
            _listen_locally(ports[1])
