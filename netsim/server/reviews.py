"""Reviews: questions about identities and permissions, answered and not stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from netsim.api import kinds
from netsim.api.errors import INVALID, Cause, StatusError, bad_request, invalid_named
from netsim.api.kinds import Kind, Obj
from netsim.http.types import Response
from netsim.server import lifecycle, managed, rbac
from netsim.server.authn import check_token
from netsim.server.core import Call, Core
from netsim.server.managed import Manager
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


_GROUP = "authorization.k8s.io"
_ONE = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def _invalid(field: str, value: Any, why: str) -> Cause:
    return Cause(INVALID, f"Invalid value: {orjson.dumps(value).decode()}: {why}", field)


def _path_attributes(spec: Obj) -> Obj:
    """nonResourceAttributes as messages show them: by their Go names."""
    path = spec["nonResourceAttributes"]
    return {"Path": path.get("path", ""), "Verb": path.get("verb", "")}


def access_problems(spec: Obj, *, whose: bool) -> Iterator[Cause]:
    """What is wrong with an access review's spec; `whose` when it has to name somebody."""
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is None and path is None:
        yield _invalid("spec.resourceAttributes", None, _ONE)
    elif resource is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        yield _invalid("spec.nonResourceAttributes", _path_attributes(spec), why)
    if whose and not spec.get("user") and not spec.get("groups"):
        yield _invalid("spec.user", "", "at least one of user or group must be specified")
    for name in ("fieldSelector", "labelSelector"):
        selector = (resource or {}).get(name) or {}
        if selector.get("rawSelector") and selector.get("requirements"):
            why = "may not specified at the same time as requirements"
            yield _invalid(f"spec.resourceAttributes.{name}.rawSelector", selector["rawSelector"], why)


def _local_problems(spec: Obj, namespace: str) -> Iterator[Cause]:
    resource, where = spec.get("resourceAttributes"), "spec.resourceAttributes.namespace"
    if resource is not None and resource.get("namespace", "") != namespace:
        yield _invalid(where, resource.get("namespace", ""), "must match metadata.namespace")
    if spec.get("nonResourceAttributes") is not None:
        yield _invalid("spec.nonResourceAttributes", _path_attributes(spec), "disallowed on this kind of request")


def _check(causes: Iterable[Cause]) -> None:
    """422 for an access review; Kubernetes names no kind there."""
    listed = list(causes)
    if listed:
        raise invalid_named(_GROUP, "", "", listed)


def asked_attributes(spec: Obj) -> Attributes:
    """What an access review asks for."""
    resource, path = spec.get("resourceAttributes") or {}, spec.get("nonResourceAttributes")
    if path is not None:
        return Attributes(path.get("verb", ""), path=path.get("path", ""))
    return Attributes(
        resource.get("verb", ""), resource.get("group", ""), resource.get("resource", ""),
        resource.get("subresource", ""), resource.get("namespace", ""), resource.get("name", ""),
    )  # fmt: skip


async def _access(core: Core, user: User, spec: Obj) -> Obj:
    """Whether, and by which binding."""
    asked = asked_attributes(spec)
    if not await core.authorizer.allows(user, asked):
        doubts = (await core.authorizer.policy()).doubts(user, asked)
        return {"allowed": False} | ({"reason": doubts} if doubts else {})
    problem = await core.authorizer.node_read_problem(user, asked)
    if problem:
        return {"allowed": False, "reason": problem}
    reason = (await core.authorizer.policy()).reason(user, asked)
    return {"allowed": True} | ({"reason": f"RBAC: allowed by {reason}"} if reason else {})


def _spec_user(spec: Obj) -> User:
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
    spec = review.get("spec") or {}
    _check(access_problems(spec, whose=False))
    return await _access(core, call.user, spec)


async def _subject_access(core: Core, call: Call, review: Obj) -> Obj:
    spec = review.get("spec") or {}
    _check(access_problems(spec, whose=True))
    return await _access(core, _spec_user(spec), spec)


async def _local_access(core: Core, call: Call, review: Obj) -> Obj:
    spec = review.get("spec") or {}
    _check([*access_problems(spec, whose=True), *_local_problems(spec, call.target.namespace)])
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
        return {"user": {}, "error": "invalid bearer token"}
    meant = core.tokens.audiences(spec["token"])
    shown = [audience for audience in audiences or (core.tokens.issuer,) if audience in meant]
    return {"authenticated": True, "user": user_info(user), "audiences": shown}


Review = Callable[[Core, Call, Obj], Awaitable[Obj]]
REVIEWS: Mapping[Kind, Review] = {
    kinds.SELF_SUBJECT_ACCESS_REVIEWS: _self_access,
    kinds.SUBJECT_ACCESS_REVIEWS: _subject_access,
    kinds.LOCAL_SUBJECT_ACCESS_REVIEWS: _local_access,
    kinds.SELF_SUBJECT_RULES_REVIEWS: _self_rules,
    kinds.SELF_SUBJECT_REVIEWS: _self_subject,
    kinds.TOKEN_REVIEWS: _token,
}


_ABOUT_ONESELF = (kinds.SELF_SUBJECT_REVIEWS, kinds.SELF_SUBJECT_RULES_REVIEWS)


async def review(core: Core, call: Call) -> Response:
    """POST of a review: the body with its status and who sent it; those about oneself are answered without."""
    kind, options = call.kind, parse_write_options(call.request, "CreateOptions")
    asked = read_object(call, options)
    lifecycle.check_identity(kind, call.namespace, "", asked)
    answer = {**asked, "status": await REVIEWS[kind](core, call, asked)}
    if kind in _ABOUT_ONESELF:
        times = {"creationTimestamp": core.now()} if kind is kinds.SELF_SUBJECT_REVIEWS else {}
        head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": times}
        shown = head | ({"spec": {}} if "spec" in answer else {}) | {"status": answer["status"]}
        return json_response(shown, 201, call.warnings)
    entries = managed.after_create(kind, asked, asked, Manager(options.field_manager), core.now())
    return json_response(managed.with_entries(answer, entries), 201, call.warnings)
