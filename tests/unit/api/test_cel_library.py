"""What Kubernetes adds to the expression language."""

from __future__ import annotations

import pytest

from netsim.api.cel_library import KUBERNETES
from netsim.cel.errors import EvaluationError
from netsim.cel.program import compile_program
from netsim.cel.times import parse_duration


def value(text: str) -> object:
    return compile_program(text, {}, KUBERNETES).value({}, 10_000)[0]


@pytest.mark.parametrize(
    "text",
    [
        "quantity('1.5Gi').isGreaterThan(quantity('1Gi'))",
        "isQuantity('1m') && !isQuantity('1x')",
        "quantity('100m').compareTo(quantity('0.1')) == 0",
        "quantity('50k').asInteger() == 50000",
        "!quantity('50m').isInteger() && quantity('1').isInteger()",
        "quantity('1').add(quantity('500m')) == quantity('1.5')",
        "quantity('3').sub(1).add(2) == quantity('4')",
        "quantity('-1').sign() == -1",
        "quantity('1500m').asApproximateFloat() == 1.5",
        "quantity('1').isLessThan(quantity('2'))",
        "quantity('1') != quantity('2')",
        "isIP('10.0.0.1') && isIP('2001:db8::1')",
        "!isIP('10.0.0') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
        "ip('10.0.0.1').family() == 4 && ip('::1').family() == 6",
        "ip.isCanonical('::1') && !ip.isCanonical('2001:DB8::1')",
        "ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified() && ip('fe80::1').isLinkLocalUnicast()",
        "ip('224.0.0.1').isLinkLocalMulticast()",
        "ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
        "string(ip('2001:DB8::1')) == '2001:db8::1' && type(ip('::1')) == net.IP",
        "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/08')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.0'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
        "!cidr('10.0.0.0/8').containsIP('::1') && !cidr('::/0').containsCIDR('10.0.0.0/8')",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
        "cidr('10.0.0.0/8').prefixLength() == 8 && string(cidr('10.0.0.0/8')) == '10.0.0.0/8'",
        "isURL('https://example.com:80/a?b=c') && isURL('/a/b') && !isURL('a b') && !isURL('') && !isURL('../x')",
        "url('https://u@example.com:80/a%20b?x=1&x=2').getHost() == 'example.com:80'",
        "url('https://example.com:80/').getHostname() == 'example.com'",
        "url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://example.com:80/').getPort() == '80' && url('/a').getScheme() == ''",
        "url('https://h/a%20b').getEscapedPath() == '/a%20b'",
        "url('https://h/?x=1&x=2').getQuery() == {'x': ['1', '2']}",
        "!format.dns1123Label().validate('web-1').hasValue() && format.dns1123Label().validate('Web').hasValue()",
        "format.dns1123LabelPrefix().validate('web-') == optional.none()",
        "!format.named('nothing').hasValue()",
        "format.named('uuid').value().validate('x').value() == ['does not match the UUID format']",
        "isSemver('1.2.3-rc.1+b') && !isSemver('v1.2.3') && isSemver('v1.2', true) && !isSemver('01.2.3')",
        "semver('1.2.3').isGreaterThan(semver('1.2.3-rc.2'))",
        "semver('1.0.0-alpha.1').isLessThan(semver('1.0.0-alpha.beta'))",
        "semver('v1.2', true).compareTo(semver('1.2.0')) == 0",
        "semver('1.2.3').major() + semver('1.2.3').patch() == 4",
    ],
)
def test_what_holds(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("quantity('x')", "quantities must match the regular expression"),
        ("quantity('50m').asInteger()", "cannot convert value to integer"),
        ("ip('x')", 'IP Address "x" parse error during conversion from string'),
        ("ip('::ffff:1.2.3.4')", 'IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed'),
        ("cidr('1.2.3.4')", "network address parse error during conversion from string"),
        ("url('a b')", "URL parse error during conversion from string"),
        ("semver('1')", "is no semantic version"),
    ],
)
def test_what_cannot_be_read(text: str, problem: str) -> None:
    with pytest.raises(EvaluationError) as found:
        value(text)
    assert problem in str(found.value)


@pytest.mark.parametrize("text", ["isSemver('N.0.0')", "isSemver('N', true)", "isSemver('1.0.0-N')"])
def test_numbers_longer_than_python_reads_are_no_versions(text: str) -> None:
    assert value(text.replace("N", "1" * 5000)) is False


def test_a_duration_longer_than_python_reads_is_none() -> None:
    with pytest.raises(EvaluationError, match="invalid duration"):
        parse_duration("1" * 5000 + "s")
