"""A source's options and what they make of its provider's entry."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.rotation import Rotation, RotationKind
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.fields import CLIENT_AUTH
from tokenkeep.providers.options import effective_rules, is_single_use, url_options, validate_options
from tokenkeep.providers.rules import AssertionRules, ClientAuth
from tokenkeep.providers.schemas import credential_schema, options_schema, property_schema

CATALOGUE = load_catalogue()
GENERIC = CATALOGUE.get("generic-oauth2")
XERO = CATALOGUE.get("xero")
TOKEN_URL = "https://provider.test/token"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "options.token_url"),
        ({"token_url": TOKEN_URL, "xyz": 1}, "options.xyz"),
        ({"token_url": 7}, "options.token_url"),
        ({"token_url": "ftp://provider.test/"}, "options.token_url"),
        ({"token_url": "https:///token"}, "options.token_url"),
        ({"token_url": "https://{host}/token"}, "options.token_url"),
        ({"token_url": "https://user@provider.test/"}, "options.token_url"),
        ({"token_url": "https://provider.test/\n"}, "options.token_url"),
        ({"token_url": "https://provider.test/#x"}, "options.token_url"),
        ({"token_url": "https://[::1/"}, "options.token_url"),
        ({"token_url": "https://provider.test/" + "a" * 2048}, "options.token_url"),
        ({"token_url": None}, "options.token_url"),
        ({"token_url": TOKEN_URL, "pkce": "maybe"}, "options.pkce"),
        ({"token_url": TOKEN_URL, "refresh_rotates": True}, "options.refresh_rotates"),
        ({"token_url": TOKEN_URL, "old_refresh_grace_s": -1}, "options.old_refresh_grace_s"),
        ({"token_url": TOKEN_URL, "old_refresh_grace_s": 1.5}, "options.old_refresh_grace_s"),
        ({"token_url": TOKEN_URL, "access_token_ttl_s": 0}, "options.access_token_ttl_s"),
        ({"token_url": TOKEN_URL, "access_token_ttl_s": True}, "options.access_token_ttl_s"),
        ({"token_url": TOKEN_URL, "token_endpoint_auth_method": "magic"}, "options.token_endpoint_auth_method"),
        ({"token_url": TOKEN_URL, "refresh_params": {"a": 1}}, "options.refresh_params.a"),
        ({"token_url": TOKEN_URL, "refresh_params": ["a"]}, "options.refresh_params"),
        ({"token_url": TOKEN_URL, "refresh_params": {"a": "{nobody}"}}, "options.refresh_params.a"),
        ({"token_url": TOKEN_URL, "authorize_params": {"a": "x{y}"}}, "options.authorize_params.a"),
        ({"token_url": TOKEN_URL, "offline_scopes": ["a", 1]}, "options.offline_scopes.1"),
        ({"token_url": TOKEN_URL, "token_headers": {"X-Big": "a"}}, "options.token_headers.X-Big"),
        ({"token_url": TOKEN_URL, "token_endpoint_auth_method": "psk_jwt"}, "options.token_endpoint_auth_method"),
        ({"token_url": TOKEN_URL, "refresh_token_ttl_s": 0}, "options.refresh_token_ttl_s"),
        ({"token_url": TOKEN_URL, "refresh_token_ttl_s": 3650 * 86_400 + 1}, "options.refresh_token_ttl_s"),
        ({"token_url": TOKEN_URL, "refresh_token_idle_ttl_s": "14d"}, "options.refresh_token_idle_ttl_s"),
        (
            {"token_url": TOKEN_URL, "token_endpoint_auth_signing_alg": "none"},
            "options.token_endpoint_auth_signing_alg",
        ),
        ({"token_url": TOKEN_URL, "token_endpoint_auth_audience": "a b"}, "options.token_endpoint_auth_audience"),
        ({"token_url": TOKEN_URL, "verify_tls": False}, "options.verify_tls"),
        ({"token_url": TOKEN_URL, "refresh_rate_per_min": 0}, "options.refresh_rate_per_min"),
        ({"token_url": TOKEN_URL, "refresh_burst": 1.5}, "options.refresh_burst"),
        ({"token_url": TOKEN_URL, "refresh_concurrency": "8"}, "options.refresh_concurrency"),
        ({"token_url": TOKEN_URL, "provider_rate_per_min": 60}, "options.provider_rate_per_min"),
        ({"token_url": TOKEN_URL, "refresh_not_before_expiry_s": 30}, "options.refresh_not_before_expiry_s"),
        ({"token_url": TOKEN_URL, "external_id_path": "{shop} + id"}, "options.external_id_path"),
        ({"token_url": TOKEN_URL, "key_placement": "header x: {key}"}, "options.key_placement"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_options(GENERIC, options)
    assert caught.value.field == field


def test_sound_options_are_given_back() -> None:
    options = {"token_url": TOKEN_URL, "refresh_rotates": "yes", "old_refresh_grace_s": 60, "scope_separator": ","}
    assert validate_options(GENERIC, options) == options
    assert validate_options(XERO, {}) == {}


def test_other_auth_types_take_other_options() -> None:
    signed = replace(GENERIC, auth_type=AuthType.OAUTH1)
    keyed = replace(GENERIC, auth_type=AuthType.API_KEY)
    assert validate_options(signed, {"signature_method": "HMAC-SHA1"})
    assert validate_options(keyed, {"key_placement": "header x-api-key: {key}"})
    assert validate_options(keyed, {"key_placement": "query api_key"})
    with pytest.raises(InvalidInput):
        validate_options(signed, {"token_url": TOKEN_URL})


def test_every_address_among_the_options_is_shown_for_the_check() -> None:
    options = {
        "token_url": TOKEN_URL,
        "revocation_url": "https://d.test/",
        "pkce": "none",
        "userinfo_url": "https://u.test/",
    }
    assert dict(url_options(GENERIC, options)) == {
        "options.token_url": TOKEN_URL,
        "options.revocation_url": "https://d.test/",
        "options.userinfo_url": "https://u.test/",
    }


def test_what_nobody_says_is_chosen_with_care() -> None:
    rules = effective_rules(GENERIC, {"token_url": TOKEN_URL})
    assert rules.refresh_url == TOKEN_URL
    assert rules.client_auth is ClientAuth.BASIC
    assert rules.scope_separator == " "
    assert rules.rotation == Rotation(RotationKind.STRICT_REVOKE)
    assert rules.access_token_ttl_s is None
    assert rules.refresh_token_ttl_s is None
    assert rules.idle_life is None


def test_the_lives_of_refresh_tokens_are_taken_from_the_entry_or_the_options() -> None:
    entry = replace(XERO, refresh_token_ttl_s=5_184_000, refresh_token_idle_ttl_s=86_400)
    assert effective_rules(entry, {}).refresh_token_ttl_s == 5_184_000
    assert effective_rules(entry, {}).idle_life == timedelta(days=1)
    options = {"refresh_token_ttl_s": 60, "refresh_token_idle_ttl_s": 30}
    assert validate_options(entry, options) == options
    assert effective_rules(entry, options).refresh_token_ttl_s == 60
    assert effective_rules(entry, options).idle_life == timedelta(seconds=30)
    assert options_schema(entry)["properties"]["refresh_token_idle_ttl_s"]["default"] == 86_400


def test_options_outrank_the_entry() -> None:
    options = {"token_endpoint_auth_method": "client_secret_post", "old_refresh_grace_s": 0, "access_token_ttl_s": 30}
    rules = effective_rules(XERO, options)
    assert rules.client_auth is ClientAuth.POST
    assert rules.rotation.kind is RotationKind.STRICT_REVOKE
    assert rules.access_token_ttl_s == 30
    assert rules.token_url == XERO.token_url


def test_every_way_of_proving_a_client_can_be_chosen() -> None:
    assert set(CLIENT_AUTH.words) == set(ClientAuth)


def test_what_is_said_of_assertions_is_followed() -> None:
    options = {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "PS256",
        "token_endpoint_auth_signing_kid": "k1",
        "token_endpoint_auth_audience": "https://xero.test",
    }
    rules = effective_rules(XERO, validate_options(XERO, options))
    assert rules.client_auth is ClientAuth.PRIVATE_KEY_JWT
    assert rules.assertion == AssertionRules("PS256", "k1", "https://xero.test")


def test_a_token_address_of_ones_own_is_where_refreshes_go_too() -> None:
    provider = replace(XERO, refresh_url="https://xero.test/refresh")
    assert effective_rules(provider, {}).refresh_url == "https://xero.test/refresh"
    assert effective_rules(provider, {"token_url": TOKEN_URL}).refresh_url == TOKEN_URL
    both = {"token_url": TOKEN_URL, "refresh_url": "https://provider.test/refresh"}
    assert effective_rules(provider, both).refresh_url == "https://provider.test/refresh"


def test_rules_without_any_token_address_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        effective_rules(GENERIC, {})
    assert caught.value.field == "options.token_url"


def test_the_schemas_tell_what_is_taken() -> None:
    microsoft = CATALOGUE.get("microsoft")
    options = options_schema(microsoft)
    assert options["additionalProperties"] is False
    assert options["properties"]["access_token_ttl_s"]["default"] == 3600
    assert options["properties"]["refresh_rotates"]["enum"] == ["yes", "no", "sometimes"]
    assert "anyOf" not in options
    assert options_schema(GENERIC)["required"] == ["token_url"]
    assert property_schema(microsoft)["properties"]["tenant"]["default"] == "common"
    assert "required" not in property_schema(microsoft)


@pytest.mark.parametrize("auth_type", list(AuthType))
def test_every_auth_type_has_its_schemas(auth_type: AuthType) -> None:
    provider = replace(GENERIC, auth_type=auth_type)
    for schema in (credential_schema(provider), options_schema(provider), property_schema(provider)):
        assert schema["$schema"].startswith("https://json-schema.org/")


def test_secrets_are_write_only_in_the_credential_schema() -> None:
    tokens, code = credential_schema(GENERIC)["oneOf"]
    assert tokens["required"] == ["access_token"]
    assert tokens["properties"]["refresh_token"]["writeOnly"]
    assert code["required"] == ["authorization_code", "redirect_uri"]


def test_single_use_is_what_somebody_established_and_not_what_is_assumed() -> None:
    token_url = {"token_url": "https://example.com/token"}
    known = replace(GENERIC, refresh_rotates="yes", reuse_detection="revokes")
    assert is_single_use(known, token_url)
    assert is_single_use(GENERIC, {**token_url, "refresh_rotates": "yes", "reuse_detection": "refuses"})
    assert effective_rules(GENERIC, token_url).rotation.kind is RotationKind.STRICT_REVOKE
    assert not is_single_use(GENERIC, token_url)
    for name in ("refresh_rotates", "reuse_detection"):
        assert not is_single_use(replace(known, recalled_fields=(name,)), token_url)
    assert not is_single_use(known, {**token_url, "old_refresh_grace_s": 600})
    assert not is_single_use(known, {**token_url, "refresh_with": "access_token"})
