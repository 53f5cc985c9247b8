import pytest

from netsim_proxy import names


@pytest.mark.parametrize(
    ("name", "protocol", "digest"),
    [
        ("default/kubernetes:https", "TCP", "NPX46M4PTMTKRN6Y"),
        ("kube-system/kube-dns:dns", "UDP", "TCOU7JCQXEZGVUNU"),
        ("kube-system/kube-dns:dns-tcp", "TCP", "ERIFXISQEP7F7OF4"),
        ("kube-system/kube-dns:metrics", "TCP", "JD5MR3NA4I4DYORP"),
        ("ns1/plain", "TCP", "HPPDPYXHNTEDOAOO"),
        ("ns9/sctp:s", "SCTP", "JQHCRYEJOD47Y4FJ"),
        ("ns8/dual:p80", "TCP", "YM2JZMX33UXDCWUK"),
    ],
)
def test_service_hash_vectors(name: str, protocol: str, digest: str) -> None:
    assert names.service_hash(name, protocol) == digest


@pytest.mark.parametrize(
    ("name", "protocol", "endpoint", "digest"),
    [
        ("ns1/plain", "TCP", "10.180.0.1:8080", "CYERQJJKJYMJPYCC"),
        ("ns1/dns:dns", "UDP", "10.180.0.9:5353", "EAKM24ASJYV6ZV5O"),
        ("ns8/dual:p80", "TCP", "[fd00:10::b]:80", "BTZNHLGYRHJHVODT"),
    ],
)
def test_endpoint_chain_vectors(name: str, protocol: str, endpoint: str, digest: str) -> None:
    assert names.endpoint_chain(name, protocol, endpoint) == f"KUBE-SEP-{digest}"


def test_chain_names_fit_the_kernel() -> None:
    assert all(len(prefix) + 16 <= 28 for prefix in names.DYNAMIC_PREFIXES)


def test_printed_port_name() -> None:
    assert names.port_name("ns", "web", "http") == "ns/web:http"
    assert names.port_name("ns", "web", "") == "ns/web"
