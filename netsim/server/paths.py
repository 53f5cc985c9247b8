"""Non-resource paths: health, version, discovery, OpenAPI, metrics, the tokens' issuer."""

from __future__ import annotations

from collections.abc import Callable

from netsim.api.errors import StatusError, method_not_allowed, no_such_resource
from netsim.api.kinds import Obj
from netsim.http.types import Request, Response
from netsim.server import discovery, exposition, issuer, openapi, openapi_v2
from netsim.server.core import Call, Core
from netsim.server.negotiate import choose_format
from netsim.server.removed import described, discovered
from netsim.server.responses import json_response, text_response
from netsim.server.shown import show

_SWAGGER = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ROOTS = (
    "/.well-known/openid-configuration", "/api", "/apis", "/apis/", "/metrics", "/openapi/v2", "/openapi/v3",
    "/openapi/v3/", "/openid/v1/jwks", "/version",
)  # fmt: skip
_CHECKS = ("ping", "store", "watch-cache")
_HEALTH = ("healthz", "livez", "readyz")


async def serve(core: Core, call: Call) -> Response:
    """Answer a request for a path that is no resource; 404 for unknown ones."""
    request = call.request
    first, *rest = [part for part in request.path.split("/") if part] or [""]
    handler = _HANDLERS.get(first)
    if handler is None and request.path != "/metrics":
        return not_found()
    if request.method not in _METHODS.get(first, ("GET",)) and handler not in (health, _index):
        raise method_not_allowed()
    return await exposition.serve(core) if handler is None else handler(core, request, [first, *rest])


def _index(core: Core, request: Request, parts: list[str]) -> Response:
    paths = [*_ROOTS]
    for group, version in core.registry.group_versions():
        paths += [f"/apis/{group}", f"/apis/{group}/{version}"] if group else [f"/api/{version}"]
    for health_path in _HEALTH:
        paths += [f"/{health_path}", *(f"/{health_path}/{check}" for check in _CHECKS)]
    return _lines({"paths": sorted(set(paths))})


def _version(core: Core, request: Request, parts: list[str]) -> Response:
    return _lines(discovery.VERSION) if len(parts) == 1 else not_found()


def _lines(value: Obj) -> Response:
    """JSON that is indented whoever asks."""
    response = json_response(value)
    show(response)
    return response


def _core_api(core: Core, request: Request, parts: list[str]) -> Response:
    return discovery_root(core, request, True) if len(parts) == 1 else resources(core, request, "", parts[1])


def _group_apis(core: Core, request: Request, parts: list[str]) -> Response:
    if len(parts) == 1:
        return discovery_root(core, request, False)
    if len(parts) == 2:
        return group_document(core, request, parts[1])
    return resources(core, request, parts[1], parts[2])


def _openid(core: Core, request: Request, parts: list[str]) -> Response:
    if parts == [".well-known", "openid-configuration"]:
        return issuer.serve_configuration(core)
    return issuer.serve_keys(core) if parts == ["openid", "v1", "jwks"] else not_found()


def not_found() -> Response:
    """What Kubernetes answers for paths it does not know."""
    return text_response("404 page not found\n", 404)


def health(core: Core, request: Request, parts: list[str]) -> Response:
    """ok while the store's events reach the watchers; `verbose` lists the checks."""
    checks = dict.fromkeys(_CHECKS, True) | {"watch-cache": not core.hub.closed}
    if len(parts) > 1:
        known = checks.get(parts[1])
        return not_found() if known is None else text_response("ok" if known else "failed", 200 if known else 500)
    left_out = set(request.params("exclude"))
    healthy = all(ok for name, ok in checks.items() if name not in left_out)
    if any(name == "verbose" for name, _ in request.query) or not healthy:
        lines = [_check_line(name, ok, name in left_out) for name, ok in checks.items()]
        if unknown := sorted(left_out.difference(checks)):
            listed = ",".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
        lines.append(f"{parts[0]} check {'passed' if healthy else 'failed'}")
        return text_response("\n".join(lines) + "\n", 200 if healthy else 500)
    return text_response("ok")


def _check_line(name: str, ok: bool, left_out: bool) -> str:
    if left_out:
        return f"[+]{name} excluded: ok"
    return f"[{'+' if ok else '-'}]{name} {'ok' if ok else 'failed'}"


def discovery_root(core: Core, request: Request, is_core: bool) -> Response:
    """/api or /apis: aggregated when asked for, else legacy."""
    registry = discovered(core.registry, request)
    form = choose_format(request.header("accept"), (discovery.AGGREGATED,))
    if form.shape != discovery.AGGREGATED:
        listed = discovery.api_versions(registry, core.config.address) if is_core else discovery.group_list(registry)
        return discovery_response(request, listed)
    body, tag = discovery.aggregated_bytes(registry, is_core, form.version)
    media = f"application/json;g=apidiscovery.k8s.io;v={form.version};as={discovery.AGGREGATED}"
    return tagged(request, body, tag, media)


def tagged(request: Request, body: bytes, tag: str, media: str) -> Response:
    """A cacheable document: 304 when the client has it."""
    headers = [("Cache-Control", "public"), ("ETag", tag), ("Vary", "Accept")]
    if tag in [entry.strip() for entry in request.header("if-none-match").split(",")]:
        return Response(304, headers)
    return Response(200, [*headers, ("Content-Type", media)], body)


def discovery_response(request: Request, document: Obj) -> Response:
    """A legacy discovery document: JSON, cacheable as the aggregated ones are."""
    choose_format(request.header("accept"))
    body, tag = discovery.encode_with_tag(document)
    return tagged(request, body, tag, "application/json")


def resources(core: Core, request: Request, group: str, version: str) -> Response:
    """/api/V or /apis/G/V; what is not served is a 404 in Kubernetes' words for that case."""
    registry = discovered(core.registry, request)
    if not registry.kinds_of(group, version):
        if registry.has_group(group):
            raise no_such_resource()
        return not_found()
    return discovery_response(request, discovery.resource_list(registry, group, version))


def group_document(core: Core, request: Request, group: str) -> Response:
    """/apis/G."""
    registry = discovered(core.registry, request)
    if not group or not registry.has_group(group):
        return not_found()
    return discovery_response(request, discovery.group_document(registry, group))


def openapi_document(core: Core, request: Request, parts: list[str]) -> Response:
    """/openapi/v3 and its documents; /openapi/v2 also as the protobuf that old clients insist on."""
    match parts[1:]:
        case ["v2"]:
            return swagger(core, request)
        case ["v3"]:
            found: tuple[bytes, str] | None = openapi.index(described(core.registry, request))
        case ["v3", "api", version]:
            found = openapi.document(core.registry, "", version)
        case ["v3", "apis", group, version]:
            found = openapi.document(described(core.registry, request), group, version)
        case _:
            return not_found()
    if found is None:
        return not_found()
    body, tag = found
    return tagged(request, body, tag, "application/json")


def swagger(core: Core, request: Request) -> Response:
    """/openapi/v2: protobuf for clients that ask for it, else JSON; a bare 406 for those that read neither."""
    accept = request.header("accept")
    if "protobuf" in accept:
        body, tag = openapi_v2.document(core.registry)
        return tagged(request, body, tag, _SWAGGER)
    try:
        form = choose_format(accept)
    except StatusError:
        form = None
    if form is None or form.yaml:
        return Response(406, [("Vary", "Accept")])
    body, tag = openapi_v2.json_document(core.registry)
    return tagged(request, body, tag, "application/json")


_METHODS = dict.fromkeys(("metrics", "openapi"), ("GET", "HEAD"))
_HANDLERS: dict[str, Callable[[Core, Request, list[str]], Response]] = {
    "": _index,
    "version": _version,
    "healthz": health,
    "livez": health,
    "readyz": health,
    "api": _core_api,
    "apis": _group_apis,
    "openapi": openapi_document,
    ".well-known": _openid,
    "openid": _openid,
}
