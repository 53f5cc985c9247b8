import base64

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.client.kubeconfig import render_kubeconfig
from netsim.lab.join import (
    Token,
    TokenError,
    certificate_authority,
    cluster_info,
    cluster_info_patch,
    node_credentials,
    parse_token,
    sign,
    token_secret,
    tokens_in,
    trusted_kubeconfig,
    verify,
)

TOKEN = Token("abcdef", "0123456789abcdef")


@pytest.mark.filterwarnings("ignore:The HMAC key")  # a bootstrap token's secret is 16 bytes, by kubeadm's rules
def test_an_independent_implementation_accepts_the_signature():
    text = "apiVersion: v1\nkind: Config\n"
    header, _, mac = sign(text, TOKEN).partition("..")
    payload = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    assert jwt.api_jws.decode(f"{header}.{payload}.{mac}", TOKEN.secret, algorithms=["HS256"]) == text.encode()


@given(st.text(max_size=50), st.text(max_size=50))
def test_only_the_signed_text_is_believed(text: str, other: str):
    signature = sign(text, TOKEN)
    verify(text, signature, TOKEN)
    if other != text:
        with pytest.raises(TokenError, match="not signed with this token"):
            verify(other, signature, TOKEN)
    with pytest.raises(TokenError):
        verify(text, signature, Token("abcdef", "fedcba9876543210"))


def test_a_node_trusts_cluster_info_by_its_own_token_only():
    kubeconfig = 'clusters: [{cluster: {certificate-authority-data: "Q0E="}}]'
    info = cluster_info(kubeconfig, TOKEN)
    assert certificate_authority(trusted_kubeconfig(info, TOKEN)) == "CA"
    with pytest.raises(TokenError, match="does not know token zzzzzz"):
        trusted_kubeconfig(info, Token("zzzzzz", TOKEN.secret))


@pytest.mark.parametrize(
    "text", ["", "abc", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcde", "abcdef:0123456789abcdef"]
)
def test_a_malformed_token_is_refused(text: str):
    with pytest.raises(TokenError, match=r"expected ID.SECRET"):
        parse_token(text)


def test_the_secret_is_one_that_kubernetes_accepts():
    secret = token_secret(TOKEN, "2030-01-01T00:00:00Z")
    assert secret["metadata"]["name"] == "bootstrap-token-abcdef"
    assert secret["type"] == "bootstrap.kubernetes.io/token"
    assert base64.b64decode(secret["data"]["expiration"]) == b"2030-01-01T00:00:00Z"


def test_every_token_made_by_us_signs_and_those_that_are_gone_do_not():
    other = Token("zzzzzz", "fedcba9876543210")
    secrets = [token_secret(TOKEN), {"type": "Opaque", "data": {"token-id": "eA=="}}, token_secret(other)]
    assert tokens_in(secrets) == [TOKEN, other]
    present, wanted = cluster_info("clusters: []", TOKEN, other), cluster_info("clusters: []", TOKEN)
    data = cluster_info_patch(present, wanted)["data"]
    assert data["jws-kubeconfig-zzzzzz"] is None
    assert data["jws-kubeconfig-abcdef"] == sign("clusters: []", TOKEN)
    assert cluster_info_patch({}, wanted)["data"] == wanted["data"]


def test_a_nodes_own_kubeconfig_is_read_back():
    text = render_kubeconfig("https://192.0.2.1:6443", "CA", certificate_pem="CERT", key_pem="KEY")
    credentials = node_credentials(text)
    assert (credentials.server, credentials.ca_pem) == ("https://192.0.2.1:6443", "CA")
    assert credentials.certificate_pem == "CERT"


@pytest.mark.parametrize("text", ["", "[]", "clusters: []", "clusters: [{cluster: {server: x}}]", "a: ]", "users: 1"])
def test_a_damaged_kubeconfig_is_a_value_error(text: str):
    with pytest.raises(ValueError, match="not a node's kubeconfig"):
        node_credentials(text)
