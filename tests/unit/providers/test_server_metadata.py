"""What an authorization server's own metadata make of a source's options (RFC 8414)."""

import json
from typing import Any

import pytest

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.providers.server_metadata import metadata_addresses, read_metadata

ADDRESS = "https://login.test/.well-known/openid-configuration"
DOCUMENT = {
    "issuer": "https://login.test",
    "authorization_endpoint": "https://login.test/authorize",
    "token_endpoint": "https://login.test/token",
}


def options(document: dict[str, Any], address: str = ADDRESS, *, has_secret: bool = True) -> dict[str, Any]:
    return dict(read_metadata(address, json.dumps(document).encode(), has_secret=has_secret))


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        (ADDRESS, (ADDRESS,)),
        (
            "https://login.test",
            (ADDRESS, "https://login.test/.well-known/oauth-authorization-server"),
        ),
        (
            "https://login.test/realms/a/",
            (
                "https://login.test/realms/a/.well-known/openid-configuration",
                "https://login.test/.well-known/oauth-authorization-server/realms/a",
            ),
        ),
    ],
)
def test_the_metadata_lie_where_their_issuer_keeps_them(url: str, addresses: tuple[str, ...]) -> None:
    assert metadata_addresses(url) == addresses


def test_what_the_server_says_becomes_options() -> None:
    said = options(
        {
            **DOCUMENT,
            "revocation_endpoint": "https://login.test/revoke",
            "introspection_endpoint": "https://login.test/introspect",
            "userinfo_endpoint": "https://login.test/userinfo",
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "scopes_supported": ["openid", "offline_access"],
        }
    )
    assert said == {
        "issuer": "https://login.test",
        "authorization_url": "https://login.test/authorize",
        "token_url": "https://login.test/token",
        "revocation_url": "https://login.test/revoke",
        "introspection_url": "https://login.test/introspect",
        "userinfo_url": "https://login.test/userinfo",
        "external_id_path": "sub",
        "token_endpoint_auth_method": "client_secret_post",
        "pkce": "supported",
        "offline_scopes": ["offline_access"],
    }


def test_a_server_that_names_no_way_takes_basic_and_one_without_s256_no_pkce() -> None:
    assert options(DOCUMENT)["token_endpoint_auth_method"] == "client_secret_basic"
    assert "pkce" not in options(DOCUMENT)
    assert options({**DOCUMENT, "code_challenge_methods_supported": ["plain"]})["pkce"] == "none"


@pytest.mark.parametrize(("said", "option"), [(True, True), (False, None), ("true", None), (None, None)])
def test_a_server_that_always_names_itself_is_held_to_it(said: object, option: object) -> None:
    name = "authorization_response_iss_parameter_supported"
    assert options({**DOCUMENT, name: said}).get(name) is option


def test_a_source_without_a_secret_is_a_public_client() -> None:
    assert options(DOCUMENT, has_secret=False)["token_endpoint_auth_method"] == "none"


@pytest.mark.parametrize(
    ("address", "issuer"),
    [
        (ADDRESS, "https://login.test/"),
        ("https://login.test/a/.well-known/openid-configuration", "https://login.test/a"),
        ("https://login.test/.well-known/oauth-authorization-server/a", "https://login.test/a"),
        ("https://login.test/.well-known/oauth-authorization-server", "https://login.test"),
    ],
)
def test_the_issuer_is_the_one_of_the_address(address: str, issuer: str) -> None:
    assert options({**DOCUMENT, "issuer": issuer}, address)["issuer"] == issuer


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"[" * 100_000,
        json.dumps({**DOCUMENT, "issuer": "https://evil.test"}).encode(),
        json.dumps({**DOCUMENT, "issuer": None}).encode(),
        json.dumps({**DOCUMENT, "token_endpoint": "login.test/token"}).encode(),
        json.dumps({**DOCUMENT, "token_endpoint": 7}).encode(),
        json.dumps({"issuer": "https://login.test"}).encode(),
    ],
    ids=lambda document: document[:24].decode(),
)
def test_what_is_no_such_document_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_metadata(ADDRESS, document, has_secret=True)
    assert caught.value.field == "options.discovery_url"
