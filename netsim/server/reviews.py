"""Reviews: questions about identities and permissions, answered and not stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from netsim.api import kinds
from netsim.api.errors import StatusError, bad_request
from netsim.api.kinds import Kind, Obj
from netsim.http.types import Response
from netsim.server import rbac
from netsim.server.authn import check_token
from netsim.server.core import Call, Core
from netsim.server.rbac import Attributes, User
from netsim.server.requests import parse_write_options
from netsim.server.responses import json_response
from netsim.server.writes import read_object

_RULES_LIMIT = 2048


def user_info(user: User) -> Obj:
    """A User as UserInfo."""
    info: Obj = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def asked_attributes(spec: Obj) -> Attributes:
    """What an access review asks for; 400 when it names both or neither kind of attributes."""
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        raise bad_request("spec: exactly one of resourceAttributes and nonResourceAttributes must be set")
    if path is not None:
        return Attributes(path.get("verb", ""), path=path.get("path", ""))
    resource = resource or {}
    return Attributes(
        resource.get("verb", ""), resource.get("group", ""), resource.get("resource", ""),
        resource.get("subresource", ""), resource.get("namespace", ""), resource.get("name", ""),
    )  # fmt: skip


async def _access(core: Core, user: User, spec: Obj) -> Obj:
    return {"allowed": await core.authorizer.allows(user, asked_attributes(spec))}


def _spec_user(spec: Obj) -> User:
    if not spec.get("user") and not spec.get("groups"):
        raise bad_request("spec.user: at least one of user or group must be specified")
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""))


def _strings(values: Any) -> list[str]:
    return sorted(values)


def _rule_objects(rules: list[rbac.Rule]) -> Obj:
    resources: list[Obj] = []
    paths: list[Obj] = []
    for rule in rules[:_RULES_LIMIT]:
        if rule.paths:
            paths.append({"verbs": _strings(rule.verbs), "nonResourceURLs": list(rule.paths)})
            continue
        entry = {
            "verbs": _strings(rule.verbs),
            "apiGroups": _strings(rule.groups),
            "resources": _strings(rule.resources),
        }
        resources.append(entry | ({"resourceNames": _strings(rule.names)} if rule.names else {}))
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": len(rules) > _RULES_LIMIT}


async def _self_access(core: Core, call: Call, review: Obj) -> Obj:
    return await _access(core, call.user, review.get("spec") or {})


async def _subject_access(core: Core, call: Call, review: Obj) -> Obj:
    spec = review.get("spec") or {}
    return await _access(core, _spec_user(spec), spec)


async def _local_access(core: Core, call: Call, review: Obj) -> Obj:
    spec = review.get("spec") or {}
    if (spec.get("resourceAttributes") or {}).get("namespace") != call.target.namespace:
        raise bad_request("spec.resourceAttributes.namespace: must match metadata.namespace")
    return await _access(core, _spec_user(spec), spec)


async def _self_rules(core: Core, call: Call, review: Obj) -> Obj:
    namespace = (review.get("spec") or {}).get("namespace", "")
    if not namespace:
        raise bad_request("no namespace on request")
    policy = await core.authorizer.policy()
    return _rule_objects(list(policy.rules_for(call.user, namespace)))


async def _self_subject(core: Core, call: Call, review: Obj) -> Obj:
    return {"userInfo": user_info(call.user)}


async def _token(core: Core, call: Call, review: Obj) -> Obj:
    spec = review.get("spec") or {}
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    audiences = tuple(spec.get("audiences") or ())
    try:
        user = await check_token(core, spec["token"], audiences)
    except StatusError:
        return {"user": {}, "error": "[invalid bearer token]"}
    return {"authenticated": True, "user": user_info(user), "audiences": list(audiences) or [core.tokens.issuer]}


Review = Callable[[Core, Call, Obj], Awaitable[Obj]]
REVIEWS: Mapping[Kind, Review] = {
    kinds.SELF_SUBJECT_ACCESS_REVIEWS: _self_access,
    kinds.SUBJECT_ACCESS_REVIEWS: _subject_access,
    kinds.LOCAL_SUBJECT_ACCESS_REVIEWS: _local_access,
    kinds.SELF_SUBJECT_RULES_REVIEWS: _self_rules,
    kinds.SELF_SUBJECT_REVIEWS: _self_subject,
    kinds.TOKEN_REVIEWS: _token,
}


async def review(core: Core, call: Call) -> Response:
    """POST of a review: the body with its status."""
    asked = read_object(call, parse_write_options(call.request, "CreateOptions"))
    status = await REVIEWS[call.kind](core, call, asked)
    return json_response({**asked, "metadata": {"creationTimestamp": None, **asked["metadata"]}, "status": status}, 201)
