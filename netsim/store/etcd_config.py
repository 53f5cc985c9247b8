"""Where etcd is, known without loading what speaks with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EtcdConfig:
    """Where etcd is and who we are. `endpoints` are `http://host:port` or `https://host:port`; `root` goes before every
    key; `ca_file`, `cert_file` and `key_file` are PEM files; `user` and `password` as in `etcdctl --user`."""

    endpoints: tuple[str, ...]
    root: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        return ", ".join(self.endpoints)
