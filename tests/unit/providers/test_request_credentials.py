"""What requests are made of, kind by kind."""

from base64 import b64decode
from typing import Any

import pytest

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.credential_fields import credential_form
from tokenkeep.providers.entry import CredentialField, Holder, Property, Provider
from tokenkeep.providers.request_credentials import RequestCredentials, request_credentials

CATALOGUE = load_catalogue()


def made(
    provider: Provider | str, fields: dict[str, str], options: dict[str, Any] | None = None, **properties: str
) -> RequestCredentials:
    entry = CATALOGUE.get(provider) if isinstance(provider, str) else provider
    secrets = {name: Secret(text) for name, text in fields.items()}
    return request_credentials(entry, options or {}, secrets, properties=properties)


@pytest.mark.parametrize(
    ("slug", "options", "wanted"),
    [
        ("generic-api-key", {}, RequestCredentials({"x-api-key": "k 1"})),
        ("generic-api-key", {"key_placement": "header X-Auth"}, RequestCredentials({"X-Auth": "k 1"})),
        (
            "generic-api-key",
            {"key_placement": "header authorization: Token token={key}"},
            RequestCredentials({"Authorization": "Token token=k 1"}),
        ),
        ("generic-api-key", {"key_placement": "query api_key"}, RequestCredentials(query={"api_key": "k 1"})),
        ("generic-api-key", {"key_placement": "query k: v1-{key}"}, RequestCredentials(query={"k": "v1-k 1"})),
        ("generic-api-key", {"key_placement": "path /bot{key}/"}, RequestCredentials(path="/botk 1/")),
        ("mandrill", {}, RequestCredentials()),
    ],
)
def test_a_key_goes_where_its_placement_says(slug: str, options: dict[str, str], wanted: RequestCredentials) -> None:
    assert made(slug, {"api_key": "k 1"}, options) == wanted


@pytest.mark.parametrize(
    ("slug", "fields", "pair"),
    [
        ("generic-basic", {"username": "zoë", "password": "p:w"}, "zoë:p:w"),
        ("generic-basic", {"username": "", "password": "key"}, ":key"),
        ("zendesk-token", {"username": "a@b.test", "password": "t"}, "a@b.test/token:t"),
        ("freshdesk", {"username": "key"}, "key:X"),
        ("recurly", {"username": "key"}, "key:"),
    ],
)
def test_basic_is_user_name_and_password_as_the_provider_wants_them(
    slug: str, fields: dict[str, str], pair: str
) -> None:
    scheme, _, encoded = made(slug, fields, subdomain="acme").headers["Authorization"].partition(" ")
    assert (scheme, b64decode(encoded).decode()) == ("Basic", pair)


def test_a_token_is_a_bearer_unless_its_placement_says_otherwise() -> None:
    assert made("generic-bearer", {"access_token": "t"}).headers == {"Authorization": "Bearer t"}
    placed = made("generic-bearer", {"access_token": "t"}, {"key_placement": "header x-token: {token}"})
    assert placed.headers == {"x-token": "t"}
    assert made("generic-oauth2", {"access_token": "t"}).headers == {"Authorization": "Bearer t"}


def test_what_is_custom_is_made_of_fields_and_properties() -> None:
    entry = Provider(
        "acme",
        "Acme",
        AuthType.CUSTOM,
        request_headers={"x-key": "{id}:{secret}", "x-site": "{site}", "x-note": "n{note}"},
        request_query={"region": "{region}"},
        placeholders=(
            Property("site", "[a-z]+", "Site"),
            Property("region", "[a-z]+", "Region", default="eu", holder=Holder.SOURCE),
        ),
        credential_fields=(
            CredentialField("id", "Id", secret=False),
            CredentialField("secret", "Secret"),
            CredentialField("note", "Note", required=False),
        ),
    )
    seen = made(entry, {"id": "i", "secret": "s"}, site="one")
    assert seen.headers == {"x-key": "i:s", "x-site": "one", "x-note": "n"}
    assert seen.query == {"region": "eu"}
    assert made(entry, {"id": "i", "secret": "s"}, {"region": "us"}, site="one").query == {"region": "us"}
    with pytest.raises(InvalidInput) as lacking:
        made(entry, {"id": "i", "secret": "s"})
    assert lacking.value.field == "properties.site"
    with pytest.raises(InvalidInput) as wrong:
        made(entry, {"id": "i", "secret": "a\nb"}, site="one")
    assert wrong.value.field == "credentials.id"


def test_requests_of_oauth1_are_signed() -> None:
    seen = made("generic-oauth1", {"oauth_token": "t", "oauth_token_secret": "s"})
    assert seen == RequestCredentials(is_signed=True)


@pytest.mark.parametrize(
    ("slug", "fields", "field"),
    [
        ("generic-api-key", {"api_key": "zoë"}, "credentials.api_key"),
        ("generic-api-key", {"api_key": " k"}, "credentials.api_key"),
        ("generic-basic", {"username": "a:b", "password": "p"}, "credentials.username"),
    ],
)
def test_what_no_header_can_hold_is_refused_by_its_field(slug: str, fields: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        made(slug, fields)
    assert refused.value.field == field


def test_nothing_of_them_is_shown_by_accident() -> None:
    assert "canary" not in repr(made("generic-api-key", {"api_key": "canary"}))
    in_query = made("generic-api-key", {"api_key": "canary"}, {"key_placement": "query k"})
    assert in_query.query == {"k": "canary"}
    assert "canary" not in repr(in_query)


def test_every_entry_makes_requests_of_what_its_form_asks_for() -> None:
    for entry in CATALOGUE.all():
        form = credential_form(entry)
        if form is None or entry.auth_type is AuthType.OAUTH2:
            continue
        names = form.required or ("anything",)
        properties = {it.name: it.example or it.default or "x" for it in entry.placeholders}
        request_credentials(entry, {}, dict.fromkeys(names, Secret("value")), properties=properties)
