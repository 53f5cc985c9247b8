"""What pods need from the API beside themselves: ConfigMaps, Secrets, ServiceAccount tokens, Services."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable

from netsim.agent.claims import bound_volume, source_of
from netsim.agent.env import ConfigError, Fetch
from netsim.agent.model import Obj
from netsim.agent.volumes import TokenRequest, decode_data
from netsim.api.errors import StatusError
from netsim.api.kinds import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SECRETS,
    SERVICE_ACCOUNTS,
    Kind,
)
from netsim.client.cache import Cache
from netsim.client.rest import Client

KINDS = {"ConfigMap": CONFIG_MAPS, "Secret": SECRETS}
REFRESH_SHARE = 0.8


class PodObjects:
    """Reads on behalf of pods. Tokens are kept until 80 % of their life is over."""

    def __init__(self, client: Client, services: Cache) -> None:
        self.client, self.services = client, services
        self._tokens: dict[tuple[str, TokenRequest], tuple[str, float]] = {}

    async def fetch(self, namespace: str, wanted: Iterable[tuple[str, str]]) -> Fetch:
        """Get ConfigMaps and Secrets once; the function given back looks among them. Raises StatusError, OSError."""
        keys = sorted(set(wanted))
        found = dict(zip(keys, await asyncio.gather(*(self._get(namespace, *key) for key in keys)), strict=True))
        return lambda kind, name: found[(kind, name)]

    async def _get(self, namespace: str, kind: str, name: str) -> dict[str, bytes] | None:
        obj = await self._find(KINDS[kind], name, namespace)
        return None if obj is None else decode_data({**obj, "kind": kind})

    async def claimed(self, namespace: str, name: str) -> Obj:
        """The pod volume that stands for what a claim is bound to. Raises ConfigError, StatusError, OSError."""
        claim = await self._find(PERSISTENT_VOLUME_CLAIMS, name, namespace)
        bound_to = bound_volume(name, claim)
        volume = await self._find(PERSISTENT_VOLUMES, bound_to)
        if volume is None or claim is None:
            raise ConfigError(f'persistentvolume "{bound_to}" not found')
        return source_of(volume, claim)

    async def registry_auths(self, pod: Obj) -> dict[str, object]:
        """Credentials of the pod's imagePullSecrets by registry; a Secret that is missing gives none, as in a kubelet.

        Raises StatusError, OSError.
        """
        names = [entry["name"] for entry in pod["spec"].get("imagePullSecrets") or () if entry.get("name")]
        fetch = await self.fetch(pod["metadata"]["namespace"], [("Secret", name) for name in names])
        found: dict[str, object] = {}
        for name in names:
            found |= parse_auths(fetch("Secret", name) or {})
        return found

    async def _find(self, kind: Kind, name: str, namespace: str | None = None) -> Obj | None:
        try:
            return await self.client.get(kind, name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def token(self, pod: Obj, request: TokenRequest) -> str:
        """A token of the pod's ServiceAccount, bound to the pod (TokenRequest API)."""
        key = (pod["metadata"]["uid"], request)
        token, until = self._tokens.get(key, ("", 0.0))
        if time.time() < until:
            return token
        account = pod["spec"].get("serviceAccountName") or "default"
        asked = _token_request(pod, request)
        try:
            answer = await self.client.post(
                SERVICE_ACCOUNTS.path(pod["metadata"]["namespace"], account, "token"), asked
            )
        except StatusError as error:
            raise ConfigError(f'failed to fetch a token of serviceaccount "{account}": {error.message}') from error
        self._tokens[key] = (answer["status"]["token"], time.time() + request.seconds * REFRESH_SHARE)
        return str(answer["status"]["token"])

    def forget(self, uid: str) -> None:
        """Drop the tokens of a pod that is gone."""
        for key in [k for k in self._tokens if k[0] == uid]:
            del self._tokens[key]


def parse_auths(data: dict[str, bytes]) -> dict[str, object]:
    """The credentials in a Secret of type kubernetes.io/dockerconfigjson or dockercfg; {} in one of neither (pure)."""
    try:
        if ".dockerconfigjson" in data:
            return dict(json.loads(data[".dockerconfigjson"])["auths"])
        return dict(json.loads(data.get(".dockercfg", b"{}")))
    except (ValueError, KeyError, TypeError):
        return {}


def _token_request(pod: Obj, request: TokenRequest) -> Obj:
    meta = pod["metadata"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    spec: Obj = {"expirationSeconds": request.seconds, "boundObjectRef": bound}
    spec["audiences"] = [request.audience] if request.audience else []
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
