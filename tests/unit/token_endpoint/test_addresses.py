from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy, check_url
from tokenkeep.domain.errors import ForbiddenAddress, InvalidInput, SettingsError

NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - looked at, not bound to
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001:0:5ef5:79fd::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:0a00:0001::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize("ip", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(ip: str) -> None:
    assert AddressPolicy().refuses(ip)


@pytest.mark.parametrize("ip", PUBLIC)
def test_a_public_address_is_not_refused(ip: str) -> None:
    assert not AddressPolicy().refuses(ip)


@pytest.mark.parametrize(
    ("allowed", "ip"),
    [
        ("127.0.0.0/8", "127.3.2.1"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.0.0.0/8", "::ffff:10.1.2.3"),
        ("fd00::/8", "fd00::1"),
        ("[::1]", "::1"),
    ],
)
def test_an_address_that_the_operator_allowed_is_not_refused(allowed: str, ip: str) -> None:
    assert AddressPolicy([" ", f" {allowed} "]).refuses("192.168.0.1")
    assert not AddressPolicy([" ", f" {allowed} "]).refuses(ip)


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "http://x", "a b", "*.internal", "10.0.0.0/33", "x:80", "x/8", "-"])
def test_an_allow_list_entry_that_is_no_host_or_cidr_names_the_setting(entry: str) -> None:
    with pytest.raises(SettingsError, match="TOKENKEEP_ALLOW_PRIVATE_HOSTS"):
        AddressPolicy(["localhost", entry])


@pytest.mark.parametrize(
    "url",
    [
        "https://idp.example.com/token",
        "https://idp.example.com:8443/token?tenant=a",
        "https://IDP.Example.com",
        "https://xn--bcher-kva.example/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:443/",
        "http://idp.allowed/token",
        "http://localhost:9000/token",
        "http://10.9.8.7/",
        "https://[::ffff:10.9.8.7]/",
    ],
)
def test_such_a_url_passes(url: str) -> None:
    check_url(url, policy=AddressPolicy(["localhost", "idp.allowed", "10.0.0.0/8"]), field="token_url")


@pytest.mark.parametrize(
    "url",
    [
        *(f"https://{f'[{ip}]' if ':' in ip else ip}/" for ip in NOT_PUBLIC if "%" not in ip),
        "https://localhost/",
        "https://LOCALHOST:8443/",
        "https://a.localhost/",
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://router.home.arpa/",
        "https://database/",
        "http://localhost/",
    ],
)
def test_a_url_that_does_not_lead_to_the_public_internet_is_forbidden(url: str) -> None:
    with pytest.raises(ForbiddenAddress) as refused:
        check_url(url, policy=AddressPolicy(), field="options.token_url")
    assert refused.value.field == "options.token_url"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "idp.example.com",
        "//idp.example.com/",
        "http://idp.example.com/",
        "http://8.8.8.8/",
        "ftp://idp.example.com/",
        "file:///etc/passwd",
        "https:///token",
        "https://user@idp.example.com/",
        "https://user:secret@idp.example.com/",
        "https://idp.example.com/#x",
        "https://idp.example.com#",
        "https://idp.example.com:0/",
        "https://idp.example.com:65536/",
        "https://idp.example.com:x/",
        "https://idp.example.com:",
        "https://idp.example.com./",
        "https://idp..example.com/",
        "https://-a.example.com/",
        "https://%6cocalhost/",
        "https://idp.example.com\\@10.0.0.1/",
        "https://idp.example.com/ x",
        "https://idp.example.com/\r\nx: y",
        "https://idp.\texample.com/",
        "https://ïdp.example.com/",
        "https://①②⑦.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://1.2.3.4.5/",
        "https://0x/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.a]/",
        "https://" + "a" * 64 + ".com/",
        "https://" + "a." * 127 + "com/",
        "https://idp.example.com/" + "a" * 2048,
    ],
)
def test_a_malformed_url_is_refused_and_quoted_nowhere(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_url(url, policy=AddressPolicy(), field="token_url")
    assert refused.value.field == "token_url"
    assert "secret" not in str(refused.value)


@given(st.text() | st.text(alphabet="htps:/@.[]0123456789abcx%#?").map(lambda rest: f"https://{rest}"))
def test_any_text_passes_or_is_refused(url: str) -> None:
    with suppress(InvalidInput):
        check_url(url, policy=AddressPolicy(["a"]), field="token_url")


@given(st.ip_addresses())
def test_an_address_is_judged_alike_in_every_place(ip: object) -> None:
    policy = AddressPolicy()
    host = f"[{ip}]" if ":" in str(ip) else str(ip)
    try:
        check_url(f"https://{host}/", policy=policy, field="token_url")
        passed = True
    except ForbiddenAddress:
        passed = False
    assert passed is not policy.refuses(str(ip))
