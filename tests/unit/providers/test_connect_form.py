"""What end users are asked for, and how what they fill in is read."""

import json
from collections.abc import Mapping

import pytest

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.credential import StaticCredentials
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.connect_form import (
    ConnectForm,
    Filled,
    Slip,
    brings_credentials,
    check_has_form,
    connect_form,
    read_form,
)
from tokenkeep.providers.entry import CredentialField, Grant, Property, Provider
from tokenkeep.providers.machine_credentials import MachineCredentials

CATALOGUE = load_catalogue()
SHOP = Provider(
    "shop",
    "Shop",
    AuthType.API_KEY,
    credential_fields=(CredentialField("note", "Note", secret=False, required=False),),
    placeholders=(
        Property("subdomain", "[a-z]+", "Subdomain", example="acme"),
        Property("region", "[a-z]+", "Region", default="eu"),
        Property("branch", "[a-z]+", "Branch", required=False),
    ),
)
GOOGLE_FILE = {
    "type": "service_account",
    "client_email": "robot@project.example",
    "private_key": "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n",
    "private_key_id": "k1",
    "token_uri": "https://evil.example/token",
}


def secrets(given: Mapping[str, str]) -> dict[str, Secret]:
    return {name: Secret(text) for name, text in given.items()}


def filled(form: ConnectForm, **given: str) -> Filled:
    said = read_form(form, secrets({name.replace("__", "."): text for name, text in given.items()}))
    assert isinstance(said, Filled), said
    return said


def static(said: Filled) -> dict[str, str]:
    assert isinstance(said.credentials, StaticCredentials)
    return {name: it.reveal() for name, it in said.credentials.fields.items()}


def machine(said: Filled) -> MachineCredentials:
    assert isinstance(said.credentials, MachineCredentials)
    return said.credentials


def test_a_form_asks_for_what_is_missing_first_and_for_what_few_have_last() -> None:
    form = connect_form(SHOP, {}, {})
    assert [it.name for it in form.asked] == ["properties.subdomain", "credentials.api_key", "credentials.note"]
    assert [it.required for it in form.asked] == [True, True, False]
    assert [it.further for it in form.asked] == [False, False, True]
    assert [it.help for it in form.asked] == ["For example acme", None, None]
    known = connect_form(SHOP, {}, {"subdomain": "acme"})
    assert [it.name for it in known.asked] == ["credentials.api_key", "credentials.note"]


def test_what_copying_adds_is_cut_off_and_what_was_left_empty_is_left_out() -> None:
    said = filled(
        connect_form(SHOP, {}, {}),
        properties__subdomain=" acme",
        credentials__api_key="\tk-1 \r\n",
        credentials__note=" ",
    )
    assert said.properties == {"subdomain": "acme"}
    assert static(said) == {"api_key": "k-1"}


@pytest.mark.parametrize(
    ("given", "slips"),
    [
        ({}, {"properties.subdomain": Slip.MISSING, "credentials.api_key": Slip.MISSING}),
        ({"properties.subdomain": "A", "credentials.api_key": "k"}, {"properties.subdomain": Slip.MISFIT}),
        ({"properties.subdomain": "a", "credentials.api_key": "k\x01"}, {"credentials.api_key": Slip.MISFIT}),
        ({"properties.subdomain": "a", "credentials.api_key": "k" * 40_000}, {"credentials.api_key": Slip.MISFIT}),
        ({"properties.subdomain": "a", "credentials.api_key": " "}, {"credentials.api_key": Slip.MISSING}),
    ],
)
def test_every_slip_is_told_at_its_field(given: Mapping[str, str], slips: Mapping[str, Slip]) -> None:
    assert read_form(connect_form(SHOP, {}, {}), secrets(given)) == slips


def test_what_the_form_does_not_ask_is_not_taken() -> None:
    form = connect_form(SHOP, {}, {"subdomain": "acme"})
    said = filled(form, properties__subdomain="evil", credentials__api_key="k", credentials__other="x")
    assert said.properties == {}
    assert static(said) == {"api_key": "k"}


def test_a_user_name_or_a_password_may_be_empty_but_not_both() -> None:
    form = connect_form(CATALOGUE.get("generic-basic"), {}, {})
    assert [it.required for it in form.asked] == [False, False]
    assert static(filled(form, credentials__password=" p ")) == {"username": "", "password": " p "}
    assert read_form(form, {}) == {"credentials.username": Slip.MISSING}


def test_something_has_to_be_filled_in_even_where_nothing_is_required() -> None:
    fields = tuple(CredentialField(name, name, required=False) for name in ("a", "b"))
    form = connect_form(Provider("p", "P", AuthType.CUSTOM, credential_fields=fields), {}, {})
    assert read_form(form, {}) == {"credentials.a": Slip.MISSING}
    assert static(filled(form, credentials__b="x")) == {"b": "x"}


def test_a_pattern_is_held_to() -> None:
    field = CredentialField("id", "Id", secret=False, pattern="[0-9]+")
    form = connect_form(Provider("p", "P", AuthType.CUSTOM, credential_fields=(field,)), {}, {})
    assert read_form(form, secrets({"credentials.id": "12x"})) == {"credentials.id": Slip.MISFIT}


@pytest.mark.parametrize(
    ("method", "required", "lines"),
    [
        (None, True, False),
        ("client_secret_post", True, False),
        ("none", False, False),
        ("private_key_jwt", True, True),
        ("tls_client_auth", True, True),
    ],
)
def test_a_machines_secret_is_asked_for_as_its_method_wants_it(
    method: str | None, *, required: bool, lines: bool
) -> None:
    options = {} if method is None else {"token_endpoint_auth_method": method}
    form = connect_form(CATALOGUE.get("generic-client-credentials"), options, {})
    asked = {it.name: it for it in form.asked}
    secret = asked["credentials.client_secret"]
    assert (secret.required, secret.lines) == (required, lines)
    assert asked["credentials.client_id"].required


def test_a_key_is_asked_for_with_its_issuer_unless_a_key_file_names_him() -> None:
    form = connect_form(CATALOGUE.get("generic-jwt-bearer"), {}, {})
    assert [it.name for it in form.asked if not it.further] == ["credentials.issuer", "credentials.private_key"]
    assert [it.required for it in form.asked][:2] == [False, True]
    said = filled(form, credentials__private_key=json.dumps(GOOGLE_FILE), credentials__subject="ann@project.example")
    assert machine(said) == MachineCredentials(
        issuer="robot@project.example",
        key_id="k1",
        private_key=Secret(GOOGLE_FILE["private_key"]),
        subject="ann@project.example",
    )
    assert read_form(form, secrets({"credentials.private_key": "PEM"})) == {"credentials.issuer": Slip.MISSING}
    own = filled(form, credentials__private_key='{"kty": "RSA"}', credentials__issuer="me")
    assert machine(own).private_key == Secret('{"kty": "RSA"}')


@pytest.mark.parametrize("change", [{"private_key": 1}, {"unheard_of": "x"}, {"private_key": ""}])
def test_a_key_file_that_is_none_is_told_at_its_field(change: Mapping[str, object]) -> None:
    form = connect_form(CATALOGUE.get("google-service-account"), {}, {})
    text = json.dumps({**GOOGLE_FILE, **change})
    assert read_form(form, secrets({"credentials.private_key": text})) == {"credentials.private_key": Slip.MISFIT}


def test_a_form_is_for_those_who_bring_something_of_their_own() -> None:
    check_has_form(CATALOGUE.get("generic-client-credentials"), source_has_client=False)
    for slug, source_has_client in (
        ("generic-client-credentials", True),
        ("github-app", True),
        ("generic-custom", False),
    ):
        with pytest.raises(InvalidInput) as refused:
            check_has_form(CATALOGUE.get(slug), source_has_client=source_has_client)
        assert refused.value.field == "source_id"


def test_every_provider_whose_users_have_something_in_hand_has_a_form() -> None:
    for provider in CATALOGUE.all():
        by_consent = provider.auth_type is AuthType.OAUTH2 and provider.grant is Grant.AUTHORIZATION_CODE
        assert brings_credentials(provider) is not (by_consent or provider.auth_type is AuthType.OAUTH1)
        if brings_credentials(provider) and provider.slug != "generic-custom":
            check_has_form(provider, source_has_client=False)
            asked = connect_form(provider, {}, {}).asked
            assert any(it.name.startswith("credentials.") and not it.further for it in asked), provider.slug
            assert len({it.name for it in asked}) == len(asked)


def test_what_a_provider_asks_for_by_name_is_not_left_empty() -> None:
    form = connect_form(CATALOGUE.get("zendesk-token"), {}, {})
    assert [it.required for it in form.asked] == [True, True, True]
    said = read_form(form, secrets({"properties.subdomain": "acme", "credentials.username": "a@acme.example"}))
    assert said == {"credentials.password": Slip.MISSING}
    # Its entry says that there may be none: the API key is the user name.
    key_alone = connect_form(CATALOGUE.get("chargebee"), {}, {})
    assert {it.name: it.required for it in key_alone.asked if it.name.startswith("credentials.")} == {
        "credentials.username": True,
        "credentials.password": False,
    }
