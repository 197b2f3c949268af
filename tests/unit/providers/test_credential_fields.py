"""Credentials as their providers' forms want them."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.credential_fields import CredentialForm, credential_form, read_fields, read_machine
from tokenkeep.providers.entry import CredentialField, Provider
from tokenkeep.providers.machine_credentials import MachineCredentials
from tokenkeep.providers.schemas import account_schema, credential_schema

CATALOGUE = load_catalogue()
PLAID = Provider(
    "acme",
    "Acme",
    AuthType.API_KEY,
    credential_fields=(
        CredentialField("site", "Site", secret=False, pattern="[a-z]{2}"),
        CredentialField("note", "Note", required=False),
    ),
)


def form_of(entry: Provider | str) -> CredentialForm:
    form = credential_form(CATALOGUE.get(entry) if isinstance(entry, str) else entry)
    assert form is not None
    return form


@pytest.mark.parametrize(
    ("entry", "given"),
    [
        ("generic-api-key", {"api_key": "k"}),
        ("generic-api-key", {"api_key": "k", "account": "a", "x-region": "eu"}),
        (PLAID, {"api_key": "k", "site": "eu"}),
        ("generic-basic", {"username": "u", "password": "p"}),
        ("generic-basic", {"username": "u", "password": ""}),
        ("freshdesk", {"username": "u"}),
        ("freshdesk", {"username": "u", "password": "ignored"}),
        ("generic-bearer", {"access_token": "t"}),
        ("generic-oauth1", {"oauth_token": "t", "oauth_token_secret": "s"}),
        ("generic-custom", {"anything": "goes"}),
        ("apple-jwt", {"issuer_id": "i", "key_id": "k", "private_key": "-----BEGIN\nKEY-----\n"}),
    ],
)
def test_what_the_schema_takes_is_taken(entry: Provider | str, given: dict[str, str]) -> None:
    provider = CATALOGUE.get(entry) if isinstance(entry, str) else entry
    read = read_fields(form_of(entry), given)
    assert {name: secret.reveal() for name, secret in read.items()} == given
    Draft202012Validator(credential_schema(provider)).validate(given)


@pytest.mark.parametrize(
    ("entry", "given", "field"),
    [
        ("generic-api-key", {}, "credentials.api_key"),
        ("generic-api-key", {"api_key": ""}, "credentials.api_key"),
        ("generic-api-key", {"api_key": 7}, "credentials.api_key"),
        ("generic-api-key", {"api_key": "canary\n"}, "credentials.api_key"),
        ("generic-api-key", {"api_key": "\ud800"}, "credentials.api_key"),
        ("generic-api-key", {"api_key": "k", "1 2": "x"}, "credentials.1 2"),
        (PLAID, {"api_key": "k"}, "credentials.site"),
        (PLAID, {"api_key": "k", "site": "canary"}, "credentials.site"),
        (PLAID, {"api_key": "k", "site": "eu", "other": "x"}, "credentials.other"),
        ("generic-basic", {"username": "u"}, "credentials.password"),
        ("generic-basic", {"username": "", "password": ""}, "credentials.username"),
        ("generic-bearer", {"access_token": "a b"}, "credentials.access_token"),
        ("generic-bearer", {"access_token": "t", "refresh_token": "x"}, "credentials.refresh_token"),
        ("generic-oauth1", {"oauth_token": "t"}, "credentials.oauth_token_secret"),
        ("generic-custom", {}, "credentials"),
        ("generic-custom", {"a": {"b": 1}}, "credentials.a"),
        ("apple-jwt", {"issuer_id": "i", "key_id": "k"}, "credentials.private_key"),
        ("generic-custom", {f"n{n}": "x" for n in range(51)}, "credentials"),
    ],
)
def test_what_is_wrong_is_named_and_not_quoted(entry: Provider | str, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_fields(form_of(entry), given)
    assert refused.value.field == field
    assert "canary" not in str(refused.value)


def test_users_tokens_have_a_form_of_their_own() -> None:
    assert credential_form(CATALOGUE.get("generic-oauth2")) is None


GOOGLE = {
    "type": "service_account",
    "project_id": "p",
    "private_key_id": "kid-1",
    "private_key": "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n",
    "client_email": "robot@p.iam.gserviceaccount.com",
    "client_id": "1",
    "auth_uri": "https://accounts.google.com/o/oauth2/auth",
    "token_uri": "https://evil.example/token",
    "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
    "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/robot",
    "universe_domain": "googleapis.com",
}


def test_a_service_accounts_key_file_is_taken_as_google_writes_it() -> None:
    read = read_machine(
        CATALOGUE.get("google-service-account"), {**GOOGLE, "subject": "u@acme.test"}, source_has_client=False
    )
    assert read == MachineCredentials(
        issuer="robot@p.iam.gserviceaccount.com",
        subject="u@acme.test",
        key_id="kid-1",
        private_key=Secret(GOOGLE["private_key"]),
    )
    assert MachineCredentials.of(read.document()) == read
    assert "evil" not in read.document().reveal()


@pytest.mark.parametrize(
    ("slug", "given", "has_client", "field"),
    [
        ("generic-client-credentials", {}, False, "credentials.client_id"),
        ("generic-client-credentials", {"client_secret": "s"}, True, "credentials.client_id"),
        ("generic-client-credentials", {"access_token": "t"}, True, "credentials.access_token"),
        ("generic-client-credentials", {"private_key": "t"}, True, "credentials.private_key"),
        ("generic-jwt-bearer", {}, False, "credentials.issuer"),
        ("generic-jwt-bearer", {"issuer": "i"}, False, "credentials.private_key"),
        ("generic-jwt-bearer", {"client_email": "i"}, False, "credentials.private_key"),
        ("google-service-account", {**GOOGLE, "refresh_token": "x"}, False, "credentials.refresh_token"),
    ],
)
def test_what_a_machine_lacks_is_named(slug: str, given: dict[str, Any], has_client: bool, field: str) -> None:  # noqa: FBT001
    with pytest.raises(InvalidInput) as refused:
        read_machine(CATALOGUE.get(slug), given, source_has_client=has_client)
    assert refused.value.field == field


def test_a_machine_may_bring_nothing_where_its_source_has_a_client() -> None:
    for slug in ("generic-client-credentials", "github-app", "zoom-s2s"):
        read = read_machine(CATALOGUE.get(slug), {}, source_has_client=True)
        assert read == MachineCredentials()
        assert not read.are_its_own


def test_a_source_tells_what_its_accounts_need() -> None:
    zendesk = account_schema(CATALOGUE.get("zendesk-token"), source_has_client=False)
    assert zendesk["required"] == ["credentials.username", "credentials.password", "properties.subdomain"]
    alone = account_schema(CATALOGUE.get("microsoft-client-credentials"), source_has_client=False)
    assert alone["required"] == ["credentials.client_id", "properties.tenant"]
    shared = account_schema(CATALOGUE.get("microsoft-client-credentials"), source_has_client=True)
    assert shared["required"] == ["credentials", "properties.tenant"]
    assert account_schema(CATALOGUE.get("google"), source_has_client=True)["required"] == ["credentials.access_token"]
