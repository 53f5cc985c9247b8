"""Who a container's processes are."""

from __future__ import annotations

import os
import stat
from typing import Any

import pytest

from netsim.agent.env import ConfigError, CreateError
from netsim.agent.runtime.making import read_accounts
from netsim.agent.runtime.users import Accounts, User, check_non_root, choose_user, parse_accounts

ACCOUNTS = parse_accounts(
    "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\nbroken\n",
    "root:x:0:\nweb:x:102:\nextra:x:103:other,web\nbroken:x\n",
)


@pytest.mark.parametrize(
    ("security", "image_user", "wanted"),
    [
        ({}, "", User(0, 0)),
        ({}, "web", User(101, 102, (103,))),
        ({}, "101", User(101, 102, (103,))),
        ({}, "web:extra", User(101, 103)),
        ({}, "web:7", User(101, 7)),
        ({}, "4000", User(4000, 0)),
        ({"runAsUser": 101}, "root", User(101, 102, (103,))),
        ({"runAsUser": 0}, "web", User(0, 0)),
        ({"runAsUser": 5, "runAsGroup": 6}, "", User(5, 6)),
        ({"runAsUser": 5, "fsGroup": 9, "supplementalGroups": [8, 9]}, "", User(5, 0, (8, 9))),
        ({"runAsUser": 101, "supplementalGroupsPolicy": "Strict"}, "", User(101, 102)),
    ],
)
def test_the_pod_wins_over_the_image(security: dict[str, Any], image_user: str, wanted: User):
    assert choose_user(security, image_user, ACCOUNTS) == wanted


@pytest.mark.parametrize(("name", "what"), [("nobody", "user nobody"), ("web:nobody", "group nobody")])
def test_an_unknown_name_is_told(name: str, what: str):
    with pytest.raises(CreateError, match=f"unable to find {what}: no matching entries"):
        choose_user({}, name, ACCOUNTS)


@pytest.mark.parametrize(
    ("security", "image_user", "message"),
    [
        ({}, "", "image will run as root"),
        ({}, "0:0", "image will run as root"),
        ({}, "web", r"non-numeric user \(web\), cannot verify"),
        ({"runAsUser": 0}, "101", "runAsUser breaks non-root policy"),
        ({}, "101", ""),
        ({"runAsUser": 7}, "root", ""),
    ],
)
def test_run_as_non_root(pod, security: dict[str, Any], image_user: str, message: str):
    made = pod(securityContext={"runAsNonRoot": True})
    container = {**made["spec"]["containers"][0], "securityContext": security}
    if not message:
        return check_non_root(made, container, image_user)
    with pytest.raises(ConfigError, match=message + r".*\(pod: \"web_shop\(u1\)\", container: c\)"):
        check_non_root(made, container, image_user)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_accounts_in_a_device_are_not_read(tmp_path):
    (tmp_path / "etc").mkdir()
    os.mknod(tmp_path / "etc/passwd", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    os.mkfifo(tmp_path / "etc/group")
    assert read_accounts(str(tmp_path)) == Accounts()


def test_accounts_behind_a_link_are_not_read(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/etc/passwd")
    (tmp_path / "etc/group").write_text("a:x:7:\n")
    assert read_accounts(str(tmp_path)) == Accounts((), (("a", 7, ()),))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/etc").symlink_to("/etc")
    assert read_accounts(str(tmp_path / "root")) == Accounts()
