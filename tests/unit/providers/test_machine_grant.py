"""The requests by which machines come by their tokens."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.rotation import Rotation, RotationKind
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import Granted, Misconfigured, Revoked, Unavailable, concerning_the_account
from tokenkeep.providers.answer import Answer, TokenRequest
from tokenkeep.providers.capabilities import capabilities
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.classify import classify
from tokenkeep.providers.client_authentication import BasicSecret, Client, PostedSecret
from tokenkeep.providers.entry import Grant, Presented
from tokenkeep.providers.machine_credentials import MachineCredentials
from tokenkeep.providers.machine_grant import Asker, client_credentials_request, jwt_bearer_request, unsigned_grant
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.token_request import check_properties

CATALOGUE = load_catalogue()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
POSTING = Client("app", PostedSecret(Secret("s")))


def rules_of(slug: str) -> OAuth2Rules:
    return effective_rules(CATALOGUE.get(slug), {})


def form(request: TokenRequest) -> dict[str, str]:
    return dict(parse_qsl(request.body.reveal()))


def test_the_entries_of_machines_are_renewed_by_what_they_prove_themselves_with() -> None:
    machines = [entry for entry in CATALOGUE.all() if entry.grant.is_machines and entry.token_url]
    assert len(machines) > 10
    for entry in machines:
        rules = effective_rules(entry, {})
        assert rules.presented is Presented.MACHINE_CREDENTIALS
        assert rules.rotation == Rotation(RotationKind.NONE)
        assert capabilities(entry)["refresh"] is True
        assert not entry.presents_nothing
        assert rules.confirm_revocation


def test_a_client_asks_for_itself() -> None:
    request = client_credentials_request(rules_of("adobe-s2s"), Asker(POSTING, "a b", {}))
    assert form(request) == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "client_id": "app",
        "client_secret": "s",
    }


def test_an_entry_may_name_the_grant_otherwise_and_ask_for_properties() -> None:
    basic = Client("app", BasicSecret(Secret("s")))
    rules = rules_of("zoom-s2s")
    request = client_credentials_request(rules, Asker(basic, "", {"account_id": "abc"}))
    assert form(request) == {"grant_type": "account_credentials", "account_id": "abc"}
    with pytest.raises(InvalidInput) as lacking:
        check_properties(rules, {})
    assert lacking.value.field == "properties.account_id"
    onelogin = client_credentials_request(rules_of("onelogin"), Asker(basic, "", {"subdomain": "acme"}))
    assert json.loads(onelogin.body.reveal()) == {"grant_type": "client_credentials"}


def test_an_assertion_says_what_its_provider_wants() -> None:
    machine = MachineCredentials(issuer="robot", subject="77", key_id="k")
    box = unsigned_grant(rules_of("box-jwt"), machine, Asker(POSTING, "ignored", {}), jti="j", now=NOW)
    issued = int(NOW.timestamp())
    assert box.claims == {
        "iss": "robot",
        "sub": "77",
        "aud": "https://api.box.com/oauth2/token",
        "jti": "j",
        "iat": issued,
        "exp": issued + 55,
        "box_sub_type": "enterprise",
    }
    assert box.key_id == "k"
    sandbox = MachineCredentials(audience="https://test.salesforce.com")
    asker = Asker(Client("consumer"), "", {})
    salesforce = unsigned_grant(rules_of("salesforce-jwt"), sandbox, asker, jti="j", now=NOW)
    assert (salesforce.claims["iss"], salesforce.claims["aud"]) == ("consumer", "https://test.salesforce.com")
    assert "scope" not in salesforce.claims
    with pytest.raises(InvalidInput) as nobody:
        unsigned_grant(rules_of("salesforce-jwt"), MachineCredentials(), Asker(Client(""), "", {}), jti="j", now=NOW)
    assert nobody.value.field == "credentials.issuer"


def test_an_assertion_is_exchanged_with_or_without_a_client_beside_it() -> None:
    box = jwt_bearer_request(rules_of("box-jwt"), Asker(POSTING, "", {}), Secret("jwt"))
    assert form(box)["client_secret"] == "s"
    assert form(box)["assertion"] == "jwt"
    google = jwt_bearer_request(rules_of("google-service-account"), Asker(Client("app"), "a", {}), Secret("jwt"))
    assert form(google) == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "jwt"}
    github = jwt_bearer_request(rules_of("github-app"), Asker(POSTING, "", {"installation_id": "7"}), Secret("jwt"))
    assert github.headers["authorization"] == "Bearer jwt"
    assert github.url.endswith("/app/installations/7/access_tokens")
    assert github.body.reveal() == ""


def test_a_refresh_token_that_a_machine_is_given_all_the_same_is_not_kept() -> None:
    body = b'{"access_token": "a", "refresh_token": "r", "refresh_token_expires_in": 60, "expires_in": 60}'
    verdict = classify(Answer(200, {}, body), rules_of("reltio"), sent_at=NOW, now=NOW)
    assert isinstance(verdict, Granted)
    assert verdict.tokens.refresh_token is None
    assert verdict.tokens.refresh_token_expires_at is None


def test_a_clock_that_is_wrong_says_nothing_about_a_service_account() -> None:
    said = (
        b'{"error": "invalid_grant", "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) and'
        b' in a reasonable timeframe. Check your iat and exp values in the JWT claim."}'
    )
    verdict = classify(Answer(400, {}, said), rules_of("google-service-account"), sent_at=NOW, now=NOW)
    assert isinstance(verdict, Unavailable)
    assert not verdict.maybe_spent
    gone = b'{"error": "invalid_grant", "error_description": "Invalid grant: account not found"}'
    assert isinstance(
        classify(Answer(400, {}, gone), rules_of("google-service-account"), sent_at=NOW, now=NOW), Revoked
    )


def test_a_refused_client_of_its_own_is_a_word_about_the_account() -> None:
    refused = Misconfigured(FailureReason.INVALID_CLIENT, "invalid_client", 401)
    assert concerning_the_account(refused) == Revoked("invalid_client", None, 401, reason=FailureReason.INVALID_CLIENT)
    for other in (
        replace(refused, reason=FailureReason.PROVIDER_4XX),
        Revoked("invalid_grant", None, 400),
        Unavailable(FailureReason.TIMEOUT, maybe_spent=True),
    ):
        assert concerning_the_account(other) == other


def test_machine_credentials_show_no_secret() -> None:
    machine = MachineCredentials(client_id="c", client_secret=Secret("canary-1"), private_key=Secret("canary-2"))
    assert "canary" not in repr(machine)
    assert list(machine.secrets()) == [Secret("canary-1"), Secret("canary-2")]
    assert machine.are_its_own
    assert not MachineCredentials(subject="s", scope="x", audience="a", key_id="k").are_its_own
    assert {grant for grant in Grant if grant.is_machines} == {Grant.CLIENT_CREDENTIALS, Grant.JWT_BEARER}
