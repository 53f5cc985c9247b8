"""What a thread keeps open at home: for one user at a time, not on visits, not after it has moved, not in a child."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from netsim.host import _home, _worker, sysctl
from netsim.host._home import Home, at_home, move
from netsim.host._transport import render_requests
from netsim.host.netlink import Netlink, NetlinkError


def on_a_thread(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(call).result()


def socket_of_a_question(name: str = "lo") -> int:
    """Ask for a link, and say by which socket."""
    with Netlink() as netlink:
        netlink.link(name)
        return netlink._sock.fileno()


def test_the_next_user_has_the_same_socket_and_two_at_once_have_two() -> None:
    def use() -> None:
        first = socket_of_a_question()
        with Netlink() as outer:
            assert outer._sock.fileno() == first
            second = socket_of_a_question()
            assert second != first
        assert socket_of_a_question() == second
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(first)

    on_a_thread(use)


def test_a_refusal_keeps_the_socket_and_a_question_without_its_answer_does_not() -> None:
    def use() -> None:
        first = socket_of_a_question()
        with pytest.raises(NetlinkError):
            socket_of_a_question("no-such-link")
        assert socket_of_a_question() == first
        with Netlink() as netlink:
            assert netlink.links()[0].name == "lo"
        assert socket_of_a_question() == first
        with pytest.raises(BlockingIOError), Netlink() as netlink:
            netlink._sock.setblocking(False)
            netlink.deliver(render_requests([(18, 0, bytes(16), "no link")], 1), 1, 2)  # and none that comes second
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(first)

    on_a_thread(use)


def test_a_visitor_keeps_nothing_and_has_its_own_again_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "setns", lambda *_: None)

    def visit() -> Home | None:
        assert _worker.run_visiting(at_home) is None
        assert socket_of_a_question() != home_socket
        return at_home()

    def use() -> None:
        nonlocal home_socket
        home_socket = socket_of_a_question()
        home = at_home()
        assert home is not None
        assert _worker.run_visiting(visit) is None
        assert at_home() is home
        assert socket_of_a_question() == home_socket
        assert _worker.run_on_throwaway(at_home) is None
        assert _worker.run_on_worker(at_home) is None

    home_socket = -1
    on_a_thread(use)


def test_who_moves_begins_anew() -> None:
    def use() -> None:
        sysctl.keep_sysctl("net.ipv4.ip_forward", sysctl.read_sysctl("net.ipv4.ip_forward"))
        home = at_home()
        assert home is not None
        descriptors = [*home.settings.values(), home.namespace(), socket_of_a_question()]
        with Netlink() as netlink:
            move()
        assert netlink._sock.fileno() == -1
        assert at_home() is not home
        for descriptor in descriptors:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)

    on_a_thread(use)


def test_a_thread_that_ends_and_a_forked_child_leave_nothing_open() -> None:
    def use() -> int:
        descriptor = socket_of_a_question()
        pid = os.fork()
        if not pid:
            try:
                os.fstat(descriptor)
            except OSError:
                home = at_home()
                os._exit(7 if home is not None and home.take_socket() is None else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        os.fstat(descriptor)
        return descriptor

    descriptor = on_a_thread(use)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    assert _home.at_home() is not None
