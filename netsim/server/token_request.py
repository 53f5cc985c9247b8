"""serviceaccounts/NAME/token: a token for the account, bound to what is asked for (TokenRequest)."""

from __future__ import annotations

from datetime import UTC

from netsim.api import errors, kinds
from netsim.api.errors import INVALID, Cause, bad_request
from netsim.api.kinds import Kind, Obj
from netsim.api.times import format_time
from netsim.http.types import Response
from netsim.server import lifecycle, managed
from netsim.server.authz import node_name, node_pod_problem
from netsim.server.core import Call, Core
from netsim.server.managed import Manager
from netsim.server.requests import parse_write_options
from netsim.server.responses import json_response
from netsim.server.tokens import DEFAULT_SECONDS, MAX_SECONDS, MIN_SECONDS
from netsim.server.writes import read_object

TOKEN_REQUEST = Kind("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests", "tokenrequest")


async def serve(core: Core, call: Call) -> Response:
    """TokenRequest: a token for the account, bound to the object asked for."""
    options = parse_write_options(call.request, "CreateOptions")
    request = read_object(call, options, TOKEN_REQUEST)
    lifecycle.check_identity(call.kind, call.namespace, "", request)
    account = core.decoder(await core.item(call.kind, call.namespace, call.target.name))
    spec = {"audiences": [core.tokens.issuer], "expirationSeconds": DEFAULT_SECONDS} | (request.get("spec") or {})
    _check_token_request(call.target.name, request, spec["expirationSeconds"])
    bound = await _bound_object(core, call, spec.get("boundObjectRef"))
    if node_name(call.user) and (bound is None or bound.get("kind") != "Pod"):
        raise errors.forbidden(call.kind, call.target.name, "a node may only request tokens bound to its own pods")
    token, expires = core.tokens.sign(
        account, audiences=spec["audiences"], seconds=spec["expirationSeconds"], now=core.clock().astimezone(UTC),
        token_id=core.new_uid(), bound=bound, node=await _node_of(core, bound),
    )  # fmt: skip
    status = {"token": token, "expirationTimestamp": format_time(expires)}
    made = {
        "name": call.target.name,
        "namespace": call.namespace,
        "uid": core.new_uid(),
        "creationTimestamp": core.now(),
    }
    answer = {**request, "metadata": made, "spec": {"boundObjectRef": None, **spec}, "status": status}
    manager = Manager(options.field_manager, subresource="token")
    given = {**request, "spec": {"expirationSeconds": DEFAULT_SECONDS} | (request.get("spec") or {})}
    entries = managed.after_create(TOKEN_REQUEST, request, given, manager, core.now())
    return json_response(managed.with_entries(answer, entries), 201, call.warnings)


def _check_token_request(name: str, request: Obj, seconds: int) -> None:
    """422 for another account's name, and for a time that is too short or too long."""
    given = request["metadata"].get("name")
    if given and given != name:
        why = f'Invalid value: "{given}": must match the service account name if specified'
        raise errors.invalid(TOKEN_REQUEST, name, [Cause(INVALID, why, "metadata.name")])
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        limit = "less than 10 minutes" if seconds < MIN_SECONDS else "larger than 2^32 seconds"
        why = f"Invalid value: {seconds}: may not specify a duration {limit}"
        raise errors.invalid(TOKEN_REQUEST, "", [Cause(INVALID, why, "spec.expirationSeconds")])


async def _node_of(core: Core, bound: Obj | None) -> Obj | None:
    """The Node of the pod a token is bound to; its name alone where there is no such Node (any more)."""
    name = str(((bound or {}).get("spec") or {}).get("nodeName") or "") if (bound or {}).get("kind") == "Pod" else ""
    return (await core.find(kinds.NODES, "", name) or {"metadata": {"name": name}}) if name else None


async def _bound_object(core: Core, call: Call, reference: Obj | None) -> Obj | None:
    """The Pod, Secret or Node a token is to be bound to; 404 or 409 when it is gone or another one."""
    if not reference:
        return None
    found = {"Pod": kinds.PODS, "Secret": kinds.SECRETS, "Node": kinds.NODES}.get(str(reference.get("kind")))
    if found is None:
        raise bad_request(
            f"cannot bind token to object of type /{reference.get('apiVersion')}, Kind={reference.get('kind')}"
        )
    name = str(reference.get("name") or "")
    if not name:
        raise bad_request("Name parameter required.")
    obj = core.decoder(await core.item(found, call.namespace if found.namespaced else "", name))
    uid = obj["metadata"]["uid"]
    if reference.get("uid") and reference["uid"] != uid:
        why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record ({uid})"
        raise errors.conflict(found, name, why)
    account = (obj.get("spec") or {}).get("serviceAccountName", "default")
    if found is kinds.PODS and account != call.target.name:
        raise bad_request(f"cannot bind token for serviceaccount {call.target.name!r} to pod running with {account!r}")
    problem = node_pod_problem(call.user, obj) if found is kinds.PODS else ""
    if problem:
        raise errors.forbidden(call.kind, call.target.name, problem)
    return obj
