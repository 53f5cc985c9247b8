"""Keys, certificates, tokens, certificate requests, and who gets in with them."""

from __future__ import annotations

import base64
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from netsim.http.types import Peer, Request
from netsim.lab.join import parse_token, token_secret
from netsim.server import csr
from netsim.server.pki import ensure_pki
from netsim.server.tokens import TokenError, TokenSigner, bootstrap_user

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
PODS = "/api/v1/namespaces/default/pods"
SERVING = {"signer": csr.SERVING_SIGNER, "usage": "server auth"}
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


def node_peer(name: str) -> Peer:
    return Peer(common_name=f"system:node:{name}", organizations=("system:nodes",))


def test_pki_is_private_and_reused(tmp_path: Path) -> None:
    first = ensure_pki(tmp_path / "pki", ["10.96.0.1", "172.30.0.2"])
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").glob("*.key")}
    assert modes == {0o600}
    before = {path.name: path.read_bytes() for path in (tmp_path / "pki").iterdir()}
    again = ensure_pki(tmp_path / "pki", ["10.96.0.1", "172.30.0.2"])
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "pki").iterdir()}
    assert again.ca_pem == first.ca_pem
    ensure_pki(tmp_path / "pki", ["10.96.0.1", "192.0.2.7"])
    cert = x509.load_pem_x509_certificate((tmp_path / "pki/server.crt").read_bytes())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"kubernetes.default.svc.cluster.local", "localhost"} <= set(names.get_values_for_type(x509.DNSName))
    assert {"127.0.0.1", "10.96.0.1", "192.0.2.7"} <= {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}
    cert.verify_directly_issued_by(first.ca_certificate)


def test_client_certificate_names(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path)
    cert = x509.load_pem_x509_certificate(pki.issue_client("me", ("a", "b")).certificate)
    assert cert.subject.rfc4514_string() == "CN=me,O=b,O=a"


ACCOUNT = {"metadata": {"name": "bot", "namespace": "ns", "uid": "u1"}}
POD = {"kind": "Pod", "metadata": {"name": "p", "namespace": "ns", "uid": "u2"}}


async def found(kind: Any, namespace: str, name: str) -> Any:
    return {"serviceaccounts": ACCOUNT, "pods": POD}[kind.plural]


async def replaced(kind: Any, namespace: str, name: str) -> Any:
    return {"metadata": {"uid": "another"}}


async def test_token_holds_within_its_bounds() -> None:
    signer = TokenSigner(ec.generate_private_key(ec.SECP256R1()), "https://issuer")
    token, expires = signer.sign(ACCOUNT, now=NOW, token_id="t", seconds=600, bound=POD)
    assert expires == NOW + timedelta(seconds=600)
    user = await signer.authenticate(token, found, NOW)
    assert (user.name, user.uid) == ("system:serviceaccount:ns:bot", "u1")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert list(signer.claims(token)["kubernetes.io"]) == ["namespace", "pod", "serviceaccount"]
    assert "system:serviceaccounts:ns" in user.groups
    with pytest.raises(TokenError, match="expired"):
        await signer.authenticate(token, found, NOW + timedelta(seconds=601))
    with pytest.raises(TokenError, match="is gone"):
        await signer.authenticate(token, replaced, NOW)
    with pytest.raises(TokenError, match="audience"):
        await signer.authenticate(token, found, NOW, ("other",))
    other = TokenSigner(ec.generate_private_key(ec.SECP256R1()), "https://issuer")
    with pytest.raises(TokenError):
        await other.authenticate(token, found, NOW)


def test_bootstrap_tokens() -> None:
    token = "abcdef.0123456789abcdef"
    secret = token_secret(parse_token(token), "2026-11-22T13:00:00Z")
    assert "system:bootstrappers" in bootstrap_user(secret, token, NOW).groups
    for wrong, when in (("abcdef.0123456789abcdee", NOW), (token, NOW + timedelta(hours=2))):
        with pytest.raises(TokenError):
            bootstrap_user(secret, wrong, when)
    with pytest.raises(TokenError):
        bootstrap_user(None, token, NOW)
    foreign = {**secret, "data": {**secret["data"], "token-secret": base64.b64encode("é".encode()).decode()}}
    with pytest.raises(TokenError, match="does not match"):
        bootstrap_user(foreign, token, NOW)


def request_pem(common_name: str, organization: str = "system:nodes", names: tuple[str, ...] = ()) -> bytes:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def request_spec(
    pem: bytes, signer: str = csr.CLIENT_SIGNER, usage: str = "client auth", **more: Any
) -> dict[str, Any]:
    usages = ["digital signature", usage]
    return {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": usages, **more}


@pytest.mark.parametrize(
    ("pem", "options", "bootstrapper", "approved"),
    [
        (request_pem("system:node:n1"), {"username": "system:bootstrap:a"}, True, True),
        (request_pem("system:node:n1"), {"username": "somebody"}, False, False),
        (request_pem("system:node:n1"), {"username": "system:node:n1", "groups": ["system:nodes"]}, False, True),
        (request_pem("system:node:n1"), {"username": "system:node:n2", "groups": ["system:nodes"]}, False, False),
        (request_pem("system:node:n1", names=("x.y",)), {"username": "system:bootstrap:a"}, True, False),
        (request_pem("kubernetes-admin", "system:masters"), {"username": "system:bootstrap:a"}, True, False),
        (request_pem("system:node:n1"), {"usage": "server auth"}, True, False),
        (
            request_pem("system:node:n1", names=("n1",)),
            {**SERVING, "username": "system:node:n1", "groups": ["system:nodes"]},
            False, True,
        ),
        (
            request_pem("system:node:n1", names=("n1",)),
            {**SERVING, "username": "system:bootstrap:a"}, True, False,
        ),
        (request_pem("system:node:n1"), {"signer": "other.io/signer"}, True, False),
    ],
)  # fmt: skip
def test_which_requests_are_approved(pem: bytes, options: dict[str, Any], bootstrapper: bool, approved: bool) -> None:
    spec = request_spec(pem, **options)
    _, wanted = csr.parse_request(spec)
    assert csr.decide(spec, wanted, bootstrapper=bootstrapper).approve is approved


async def approve(api: Any, made: dict[str, Any]) -> dict[str, Any]:
    """The status that the signer gives an approved request."""
    name = made["metadata"]["name"]
    condition = {"type": "Approved", "status": "True", "reason": "KubectlApprove", "message": "yes"}
    approved = await api.ok("PUT", f"{CSRS}/{name}/approval", {**made, "status": {"conditions": [condition]}})
    revision = approved["metadata"]["resourceVersion"]
    events = await api.watch(f"{CSRS}?watch=1&resourceVersion={revision}&fieldSelector=metadata.name={name}", 1)
    status: dict[str, Any] = events[0]["object"]["status"]
    return status


async def test_a_users_certificate_is_signed_once_approved(api: Any) -> None:
    spec = {**request_spec(request_pem("alice", "devs"), csr.USER_SIGNER), "usages": ["client auth"]}
    made = await api.post(CSRS, {"metadata": {"name": "alice"}, "spec": spec})
    assert "certificate" not in (made.get("status") or {})
    status = await approve(api, made)
    certificate = x509.load_pem_x509_certificate(base64.b64decode(status["certificate"]))
    assert certificate.subject.rfc4514_string() == "CN=alice,O=devs"


def test_conditions_say_since_when_unless_their_author_does() -> None:
    old = {"status": {"conditions": [{"type": "A", "status": "True", "lastTransitionTime": "t1"}]}}
    given = [
        {"type": "A", "status": "True"},
        {"type": "A", "status": "False"},
        {"type": "B", "status": "True", "lastUpdateTime": "t0", "lastTransitionTime": "t0"},
    ]
    new = csr.with_times({"status": {"conditions": given, "certificate": "c"}}, old, "t2")
    found = [(c["lastUpdateTime"], c["lastTransitionTime"]) for c in new["status"]["conditions"]]
    assert found == [("t2", "t1"), ("t2", "t2"), ("t0", "t0")]
    assert new["status"]["certificate"] == "c" and csr.with_times({}, old, "t2") == {}


async def test_a_decision_is_timed_and_stays(api: Any) -> None:
    spec = {**request_spec(request_pem("alice", "devs"), "example.com/signer"), "usages": ["client auth"]}
    made = await api.post(CSRS, {"metadata": {"name": "alice"}, "spec": spec})
    denied = {"type": "Denied", "status": "True", "reason": "No", "message": "no"}
    path = f"{CSRS}/alice/approval"
    refused = await api.refused("PUT", f"{CSRS}/alice/status", {**made, "status": {"conditions": [denied]}})
    assert refused["code"] == 422 and 'may not add a condition of type "Denied"' in refused["message"]
    answer = await api.ok("PUT", path, {**made, "status": {"conditions": [denied]}})
    held = answer["status"]["conditions"][0]
    assert held["lastUpdateTime"] and held["lastTransitionTime"]
    del held["lastTransitionTime"]
    refused = await api.refused("PUT", path, {**answer, "status": {}})
    assert refused["code"] == 422 and 'may not remove a condition of type "Denied"' in refused["message"]
    other = {**answer, "status": {"conditions": [{**held, "message": "never"}]}}
    kept = await api.ok("PUT", f"{CSRS}/alice/status", other)
    assert kept["status"]["conditions"][0]["message"] == "no"
    again = await api.ok("PUT", path, {**other, "metadata": {"name": "alice", "labels": {"a": "b"}}})
    assert again["status"]["conditions"][0]["lastTransitionTime"] == held["lastUpdateTime"]
    assert again["status"]["conditions"][0]["message"] == "never" and again["metadata"]["labels"] == {"a": "b"}


async def test_a_users_certificate_of_other_usages_or_for_masters_is_refused(api: Any) -> None:
    spec = request_spec(request_pem("alice", "devs"), csr.USER_SIGNER, "server auth")
    status = await approve(api, await api.post(CSRS, {"metadata": {"name": "odd"}, "spec": spec}))
    assert [c["type"] for c in status["conditions"]] == ["Approved", "Failed"] and "certificate" not in status
    masters = request_spec(request_pem("root", "system:masters"), csr.USER_SIGNER)
    refused = await api.refused("POST", CSRS, {"metadata": {"name": "root"}, "spec": masters})
    assert refused["code"] == 403 and "with system:masters group is not allowed" in refused["message"]


@pytest.mark.parametrize(
    ("signers", "code"),
    [(csr.USER_SIGNER, 200), ("kubernetes.io/*", 200), (csr.SERVING_SIGNER, 403), ("example.com/*", 403)],
)
async def test_who_approves_must_be_allowed_to_for_the_signer(api: Any, signers: str, code: int) -> None:
    rules = [
        {
            "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"],
            "verbs": ["patch"],
        },
        {
            "apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["approve"],
            "resourceNames": [signers],
        },
    ]  # fmt: skip
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await api.post(f"{rbac}/clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}
    binding = {"metadata": {"name": "r"}, "roleRef": reference, "subjects": [{"kind": "User", "name": "eve"}]}
    await api.post(f"{rbac}/clusterrolebindings", binding)
    spec = request_spec(request_pem("alice", "devs"), csr.USER_SIGNER)
    await api.post(CSRS, {"metadata": {"name": "alice"}, "spec": spec})
    condition = {"type": "Approved", "status": "True", "reason": "Yes", "message": "yes"}
    change = {"status": {"conditions": [condition]}}
    eve = Peer(common_name="eve")
    answer = await api.send(
        "PATCH", f"{CSRS}/alice/approval", change, peer=eve, content_type="application/merge-patch+json"
    )
    assert answer.status == code
    assert (b"not permitted to approve requests with signerName" in answer.body) is (code == 403)


@pytest.mark.parametrize("signer", [csr.CLIENT_SIGNER, csr.SERVING_SIGNER])
@pytest.mark.parametrize("pem", [request_pem("root", "system:masters"), request_pem("alice", names=("alice",))])
async def test_the_signers_of_nodes_sign_for_nodes_only(api: Any, signer: str, pem: bytes) -> None:
    usage = "server auth" if signer == csr.SERVING_SIGNER else "client auth"
    made = await api.post(CSRS, {"metadata": {"name": "odd"}, "spec": request_spec(pem, signer, usage)})
    status = await approve(api, made)
    assert [c["type"] for c in status["conditions"]] == ["Approved", "Failed"] and "certificate" not in status


async def test_node_joins_with_a_bootstrap_token(api: Any) -> None:
    token = "abcdef.0123456789abcdef"
    await api.post("/api/v1/namespaces/kube-system/secrets", token_secret(parse_token(token)))
    body = {"metadata": {"name": "join", "generateName": ""}, "spec": request_spec(request_pem("system:node:n9"))}
    forged = {**body["spec"], "username": "system:node:n9", "groups": ["system:nodes"]}
    made = await api.post(CSRS, {**body, "spec": forged}, token=token)
    assert made["spec"]["username"] == "system:bootstrap:abcdef"
    revision = made["metadata"]["resourceVersion"]
    signed = made
    while "certificate" not in (signed.get("status") or {}):
        events = await api.watch(f"{CSRS}?watch=1&resourceVersion={revision}&fieldSelector=metadata.name=join", 1)
        signed = events[0]["object"]
        revision = signed["metadata"]["resourceVersion"]
    cert = x509.load_pem_x509_certificate(base64.b64decode(signed["status"]["certificate"]))
    cert.verify_directly_issued_by(api.app.pki.ca_certificate)
    assert cert.subject.rfc4514_string() == "CN=system:node:n9,O=system:nodes"
    assert signed["status"]["conditions"][0]["type"] == "Approved"


async def test_pod_token_dies_with_the_pod(api: Any, pod: Any) -> None:
    node = await api.post("/api/v1/nodes", {"metadata": {"name": "n1"}})
    made = await api.post(PODS, pod("p", nodeName="n1"))
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]}
    ask = {"spec": {"audiences": [], "boundObjectRef": reference}}
    answer = await api.post(f"{ACCOUNTS}/default/token", ask, peer=node_peer("n1"))
    token = answer["status"]["token"]
    who = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
    extra = {key.partition("/")[2]: value for key, value in who["status"]["userInfo"]["extra"].items()}
    assert extra.pop("credential-id")[0].startswith("JTI=")
    assert extra == {
        "pod-name": ["p"], "pod-uid": [made["metadata"]["uid"]],
        "node-name": ["n1"], "node-uid": [node["metadata"]["uid"]],
    }  # fmt: skip
    assert (await api.refused("POST", f"{ACCOUNTS}/default/token", ask, peer=node_peer("n2")))["code"] == 403
    assert (await api.refused("POST", f"{ACCOUNTS}/default/token", {"spec": {}}, peer=node_peer("n1")))["code"] == 403
    review = {"spec": {"token": token}}
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    assert (await api.post(reviews, review))["status"]["authenticated"] is True
    await api.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert (await api.refused("GET", "/version", token=token))["code"] == 401
    assert "authenticated" not in (await api.post(reviews, review))["status"]


async def test_a_token_bound_to_a_node_dies_with_it(api: Any) -> None:
    await api.post("/api/v1/nodes", {"metadata": {"name": "n1"}})
    reference = {"kind": "Node", "apiVersion": "v1", "name": "n1"}
    answer = await api.post(f"{ACCOUNTS}/default/token", {"spec": {"audiences": [], "boundObjectRef": reference}})
    assert await api.get("/version", token=answer["status"]["token"])
    await api.ok("DELETE", "/api/v1/nodes/n1")
    assert (await api.refused("GET", "/version", token=answer["status"]["token"]))["code"] == 401


async def test_a_certificate_says_which_it_is(api: Any) -> None:
    me = Peer(common_name="me", fingerprint="ab12")
    who = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, peer=me)
    extra = who["status"]["userInfo"]["extra"]
    assert extra == {"authentication.kubernetes.io/credential-id": ["X509SHA256=ab12"]}


async def test_node_restriction(api: Any, pod: Any) -> None:
    nodes = "/api/v1/nodes"
    await api.post(nodes, {"metadata": {"name": "n1"}}, peer=node_peer("n1"))
    assert (await api.refused("POST", nodes, {"metadata": {"name": "n2"}}, peer=node_peer("n1")))["code"] == 403
    await api.post(PODS, pod("p", nodeName="n2"))
    patch, merge = {"status": {"phase": "Running"}}, "application/merge-patch+json"
    refused = await api.refused("PATCH", f"{PODS}/p/status", patch, content_type=merge, peer=node_peer("n1"))
    assert "can only modify pods with spec.nodeName set to itself" in refused["message"]
    assert (await api.merge(f"{PODS}/p/status", patch, peer=node_peer("n2")))["status"]["phase"] == "Running"
    assert (await api.refused("DELETE", f"{PODS}/p", peer=node_peer("n1")))["code"] == 403
    labels = {"metadata": {"labels": {"app": "other"}}}
    refused = await api.refused("PATCH", f"{PODS}/p/status", labels, content_type=merge, peer=node_peer("n2"))
    assert (refused["code"], refused["message"]) == (
        403, 'pods "p" is forbidden: node "n2" cannot update labels through pod status',
    )  # fmt: skip


async def test_a_node_reaches_no_secret_or_account_but_its_pods(api: Any, pod: Any) -> None:
    node, secrets = node_peer("n1"), "/api/v1/namespaces/default/secrets"
    for name in ("mounted", "elsewhere", "env"):
        await api.post(secrets, {"metadata": {"name": name}})
    variable = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}
    container = {"name": "c", "image": "x", "env": [variable]}
    volume = {"name": "v", "secret": {"secretName": "mounted"}}
    await api.post(PODS, pod("mine", nodeName="n1", volumes=[volume], containers=[container]))
    await api.post(PODS, pod("other", nodeName="n2", volumes=[{"name": "v", "secret": {"secretName": "elsewhere"}}]))
    for name, status in (("mounted", 200), ("env", 200), ("elsewhere", 403), ("missing", 403)):
        assert (await api.send("GET", f"{secrets}/{name}", peer=node)).status == status, name
    assert (await api.send("GET", secrets, peer=node)).status == 403
    assert (await api.send("GET", f"{secrets}?watch=1", peer=node)).status == 403
    stolen = pod("stolen", nodeName="n1", serviceAccountName="default")
    assert "can only create mirror pods" in (await api.refused("POST", PODS, stolen, peer=node))["message"]
    stolen["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert "may not name ServiceAccounts" in (await api.refused("POST", PODS, stolen, peer=node))["message"]
    eviction = {"metadata": {"name": "other"}}
    assert (await api.refused("POST", f"{PODS}/other/eviction", eviction, peer=node))["code"] == 403


async def test_aggregated_roles_do_not_escalate(api: Any) -> None:
    group, eve = "/apis/rbac.authorization.k8s.io/v1", Peer(common_name="eve")
    rules = [{"verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"]}]
    await api.post(f"{group}/clusterroles", {"metadata": {"name": "binder"}, "rules": rules})
    subject = {"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}

    def binding(role: str) -> dict[str, Any]:
        reference = {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"}
        return {"metadata": {"name": f"eve-{role}"}, "subjects": [subject], "roleRef": reference}

    await api.post(f"{group}/clusterrolebindings", binding("binder"))
    for role in ("view", "edit", "admin"):
        status = await api.refused("POST", f"{group}/clusterrolebindings", binding(role), peer=eve)
        assert status["code"] == 403 and "not currently held" in status["message"]
    selector = {"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}
    made = {"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": []}
    status = await api.refused("POST", f"{group}/clusterroles", made, peer=eve)
    assert "must have cluster-admin privileges" in status["message"]


async def test_anonymous_and_cluster_info(api: Any) -> None:
    nobody = Peer(address="127.0.0.1")
    info = await api.get("/api/v1/namespaces/kube-public/configmaps/cluster-info", peer=nobody)
    assert "https://127.0.0.1:6443" in info["data"]["kubeconfig"]
    status = await api.refused("GET", "/api/v1/namespaces/default/pods/x", peer=nobody)
    assert status["message"] == (
        'pods "x" is forbidden: User "system:anonymous" cannot get resource "pods" in API group "" in the namespace '
        '"default"'
    )
    status = await api.refused("GET", "/metrics", peer=nobody)
    assert status["message"] == 'forbidden: User "system:anonymous" cannot get path "/metrics"'


async def test_roles_are_effective_at_once_and_do_not_escalate(api: Any) -> None:
    group = "/apis/rbac.authorization.k8s.io/v1"
    eve = Peer(common_name="eve")
    subject = {"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "ClusterRole", "name": "admin", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "eve"}, "subjects": [subject], "roleRef": reference}
    await api.post(f"{group}/namespaces/default/rolebindings", binding)
    assert (await api.send("GET", PODS, peer=eve)).status == 200
    assert (await api.send("GET", "/api/v1/namespaces/kube-system/pods", peer=eve)).status == 403
    rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    role = {"metadata": {"name": "all"}, "rules": rules}
    status = await api.refused("POST", f"{group}/namespaces/default/roles", role, peer=eve)
    assert status["code"] == 403
    assert status["message"] == (
        'roles.rbac.authorization.k8s.io "all" is forbidden: user "eve" (groups=["system:authenticated"]) is '
        'attempting to grant RBAC permissions not currently held:\n{APIGroups:["*"], Resources:["*"], Verbs:["*"]}'
    )
    await api.ok("DELETE", f"{group}/namespaces/default/rolebindings/eve")
    assert (await api.send("GET", PODS, peer=eve)).status == 403


async def test_impersonation(api: Any) -> None:
    headers = [("impersonate-user", "someone")]
    response = await api.app(Request("GET", PODS, [], headers, b"", Peer(trusted=True)))
    assert response.status == 403 and b'User \\"someone\\" cannot list' in response.body
    response = await api.app(Request("GET", PODS, [], headers, b"", Peer(common_name="eve")))
    assert response.status == 403 and b"cannot impersonate resource" in response.body


async def test_impersonation_of_a_uid_and_extra_values(api: Any) -> None:
    review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = [
        ("impersonate-user", "someone"), ("impersonate-uid", "7"), ("impersonate-extra-acme.com%2Fteam", "a"),
        ("impersonate-extra-acme.com%2Fteam", "b"),
    ]  # fmt: skip
    response = await api.app(Request("POST", review, [], headers, b"{}", Peer(trusted=True)))
    answer = orjson.loads(response.body)
    assert answer["metadata"].keys() == {"creationTimestamp"}
    assert answer["status"]["userInfo"] == {
        "username": "someone", "uid": "7", "groups": ["system:authenticated"], "extra": {"acme.com/team": ["a", "b"]},
    }  # fmt: skip
    lone = await api.app(Request("GET", PODS, [], headers[1:2], b"", Peer(trusted=True)))
    assert lone.status == 400 and b"without impersonating a user name" in lone.body
    group = "/apis/rbac.authorization.k8s.io/v1"
    only_users = [{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"]}]
    await api.post(f"{group}/clusterroles", {"metadata": {"name": "i"}, "rules": only_users})
    subjects = [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "i"}
    await api.post(
        f"{group}/clusterrolebindings", {"metadata": {"name": "i"}, "roleRef": reference, "subjects": subjects}
    )
    for count, status in ((1, 201), (2, 403), (3, 403)):
        asked = [headers[0], *headers[count - 1 : count]] if count > 1 else headers[:1]
        response = await api.app(Request("POST", review, [], asked, b"{}", Peer(common_name="eve")))
        assert response.status == status


async def test_access_reviews_say_why_and_what_is_wrong_with_them(api: Any) -> None:
    url = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    path = {"user": "eve", "groups": ["system:authenticated"], "nonResourceAttributes": {"path": "/api", "verb": "get"}}
    made = await api.post(url, {"spec": path})
    why = 'ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group "system:authenticated"'
    assert made["status"] == {"allowed": True, "reason": f"RBAC: allowed by {why}"}
    assert made["metadata"].keys() == {"managedFields"}
    refused = await api.refused("POST", url, {"spec": {}})
    assert refused["message"] == (
        '.authorization.k8s.io "" is invalid: [spec.resourceAttributes: Invalid value: null: exactly one of '
        "nonResourceAttributes or resourceAttributes must be specified, "
        'spec.user: Invalid value: "": at least one of user or group must be specified]'
    )
    local = url.replace("subject", "namespaces/default/localsubject")
    spec = {"user": "eve", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "other"}}
    refused = await api.refused("POST", local, {"spec": spec})
    assert refused["message"].endswith('namespace: Invalid value: "other": must match metadata.namespace')


async def test_what_a_node_may_not_read_its_reviews_deny_too(api: Any) -> None:
    spec = {"user": "system:node:x", "groups": ["system:nodes"]}
    secret = {"verb": "get", "resource": "secrets", "namespace": "default", "name": "s"}
    url = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    why = "no relationship found between node 'x' and this object"
    made = await api.post(url, {"spec": {**spec, "resourceAttributes": secret}})
    assert made["status"] == {"allowed": False, "reason": why}
    node = Peer(common_name="system:node:x", organizations=("system:nodes",))
    refused = await api.refused("GET", "/api/v1/namespaces/default/secrets/s", peer=node)
    assert refused["message"] == (
        'secrets "s" is forbidden: User "system:node:x" cannot get resource "secrets" in API group "" in the '
        f'namespace "default": {why}'
    )


async def test_a_binding_to_a_missing_role_is_told_beside_a_refusal(api: Any) -> None:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "other"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "x"}]
    binding = {"metadata": {"name": "b"}, "roleRef": role, "subjects": subjects}
    await api.ok("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", binding)
    why = 'RBAC: role.rbac.authorization.k8s.io "other" not found'
    asked = {"verb": "get", "resource": "pods", "namespace": "default"}
    url = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    review = await api.ok("POST", url, {"spec": {"user": "x", "resourceAttributes": asked}})
    assert review["status"] == {"allowed": False, "reason": why}
    found = await api.refused("GET", "/api/v1/namespaces/default/pods", peer=Peer(common_name="x"))
    assert found["message"] == (
        'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default": ' + why
    )
