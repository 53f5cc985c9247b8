"""Roots of real-process containers: an overlay over netsim's base skeleton, with the host's /usr below, read-only.

Of the host nothing shows but /usr: the skeleton's /etc is written here, /root, /home, /var and /tmp are empty.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Sequence

from netsim.agent.runtime.spec import Bind
from netsim.host import mount

DIRECTORIES = {
    "tmp": 0o1777,
    "var": 0o755,
    "var/tmp": 0o1777,
    "var/run": 0o755,
    "var/log": 0o755,
    "root": 0o700,
    "home": 0o755,
}
DIRECTORIES |= {d: 0o755 for d in ("etc", "usr", "proc", "sys", "dev", "run", "mnt", "opt", "srv")}
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "etc/os-release": 'NAME="netsim base"\nID=netsim\nPRETTY_NAME="netsim base (host\'s /usr, read-only)"\n',
    "etc/hosts": "127.0.0.1\tlocalhost\n",
    "etc/resolv.conf": "",
    "etc/hostname": "",
    "etc/profile": 'export PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"\n',
}
# Tables that are the same everywhere and hold nothing private.
COPIED = ("etc/services", "etc/protocols")
_making = threading.Lock()  # several pods may want the first root at once
MERGED_USR = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def ensure_base(path: str) -> str:
    """Make the skeleton at `path` unless it is there; it is never changed afterwards, as overlays lie on it."""
    with _making:
        if not os.path.isdir(path):
            _make_base(path)
    return path


def _make_base(path: str) -> None:
    draft = f"{path}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    os.makedirs(draft)
    for name, mode in DIRECTORIES.items():
        os.makedirs(f"{draft}/{name}", exist_ok=True)
        os.chmod(f"{draft}/{name}", mode)
    for name, text in FILES.items():
        _write(f"{draft}/{name}", text)
    for name in COPIED:
        if os.path.isfile(f"/{name}"):
            shutil.copyfile(f"/{name}", f"{draft}/{name}")
    _link_usr(draft)
    _link_alternatives(draft)
    os.rename(draft, path)


def ensure_mount_points(path: str) -> str:
    """A layer over an image's own: what is mounted onto is there, so that a container's own layer shows its work only.

    Its files take the place of links that some images have in /etc.
    """
    with _making:
        if not os.path.isdir(path):
            draft = f"{path}.{os.getpid()}"
            shutil.rmtree(draft, ignore_errors=True)
            for name in ("dev", "proc", "sys", "etc"):
                os.makedirs(f"{draft}/{name}")
            for name in ("hosts", "hostname", "resolv.conf"):
                _write(f"{draft}/etc/{name}", "")
            os.rename(draft, path)
    return path


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o644)


def _link_usr(root: str) -> None:
    for name in MERGED_USR:
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")


def _link_alternatives(root: str) -> None:
    """Debian's awk, nc … are links through /etc/alternatives: the links into /usr are repeated."""
    source = "/etc/alternatives"
    if not os.path.isdir(source):
        return
    os.mkdir(f"{root}{source}")
    for name in os.listdir(source):
        target = os.readlink(f"{source}/{name}") if os.path.islink(f"{source}/{name}") else ""
        if target.startswith(("/usr/", "/bin/", "/sbin/")):
            os.symlink(target, f"{root}{source}/{name}")


def system_binds() -> list[Bind]:
    """The host's /usr, and /bin and its like where the host has not merged them into /usr."""
    unmerged = [f"/{n}" for n in MERGED_USR if os.path.isdir(f"/{n}") and not os.path.islink(f"/{n}")]
    return [Bind(path, path) for path in ("/usr", *unmerged)]


def netsim_binds() -> list[Bind]:
    """netsim's own installation for its own images: interpreter and packages, as far as they are outside /usr."""
    import netsim

    wanted = [os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, *_package_dirs(netsim.__path__))]
    found: list[str] = []
    for path in sorted(set(wanted), key=len):
        if not any(path == f or path.startswith(f + "/") for f in ("/usr", *found)):
            found.append(path)
    return [Bind(path, path) for path in found]


def _package_dirs(package_path: Sequence[str]) -> list[str]:
    """Directories that hold the netsim packages: one in an installation, several in a source tree on PYTHONPATH."""
    names = ("netsim", "netsim_dns", "netsim_proxy", "netsim_cni")
    candidates = [os.path.dirname(p) for p in package_path] + [p for p in sys.path if p]
    holders = [d for d in candidates if any(os.path.isdir(f"{d}/{n}") for n in names)]
    return [f"{d}/{n}" for d in holders for n in names if os.path.isdir(f"{d}/{n}")]


def netsim_env() -> dict[str, str]:
    """PATH and, for a source tree, PYTHONPATH with which `netsim` is found inside its own images."""
    import netsim

    holders = dict.fromkeys(os.path.dirname(os.path.realpath(p)) for p in _package_dirs(netsim.__path__))
    inside = os.path.realpath(sys.prefix)
    outside = [h for h in holders if not h.startswith((inside + "/", "/usr/"))]
    path = f"{sys.prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, **({"PYTHONPATH": ":".join(outside)} if outside else {})}


def mount_root(lowers: list[str], bundle: str, writable: str) -> str:
    """Mount a container's root at `bundle`/rootfs: `writable`/upper over `lowers`; gives the mount point."""
    root = f"{bundle}/rootfs"
    mount.overlay(lowers, f"{writable}/upper", f"{writable}/work", root)
    return root
