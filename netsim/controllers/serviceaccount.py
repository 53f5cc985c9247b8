"""Every namespace gets its ServiceAccount "default" and its ConfigMap kube-root-ca.crt."""

from __future__ import annotations

from collections.abc import Iterable

from netsim.api.kinds import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS, Obj
from netsim.api.objects import deletion_timestamp, name_of, namespace_of
from netsim.controllers.controller import Controller, Wake
from netsim.controllers.view import View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Create, Update, Write, Writes

DEFAULT, ROOT_CA = "default", "kube-root-ca.crt"


def controller(root_ca_pem: str) -> Controller:
    """The controller for a cluster whose certificates are signed by `root_ca_pem` ("": no ConfigMap)."""

    def reconcile(key: str, view: View) -> Writes:
        namespace = view.get(NAMESPACES, key)
        if namespace is None or deletion_timestamp(namespace):
            return []
        return [*_account(key, view), *(_root_ca(key, view, root_ca_pem) if root_ca_pem else [])]

    watches = ((NAMESPACES, by_own_key), (SERVICE_ACCOUNTS, _wake(DEFAULT)), (CONFIG_MAPS, _wake(ROOT_CA)))
    return Controller("serviceaccount-controller", reconcile, watches)


def _account(namespace: str, view: View) -> list[Write]:
    if view.get(SERVICE_ACCOUNTS, f"{namespace}/{DEFAULT}") is not None:
        return []
    head = {"name": DEFAULT, "namespace": namespace}
    return [Create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": SERVICE_ACCOUNTS.kind, "metadata": head})]


def _root_ca(namespace: str, view: View, pem: str) -> list[Write]:
    found = view.get(CONFIG_MAPS, f"{namespace}/{ROOT_CA}")
    data = {"ca.crt": pem}
    if found is not None:
        return [] if found.get("data") == data else [Update(CONFIG_MAPS, {**found, "data": data})]
    head = {"name": ROOT_CA, "namespace": namespace}
    return [Create(CONFIG_MAPS, {"apiVersion": "v1", "kind": CONFIG_MAPS.kind, "metadata": head, "data": data})]


def _wake(name: str) -> Wake:
    """Wakes the namespace of objects of one name."""

    def wake(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
        found = new or old or {}
        return (namespace_of(found),) if name_of(found) == name else ()

    return wake
