"""Revocations (RFC 7009): how they are asked for, and what the answers mean."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.client_authentication import BasicSecret, Client, PostedSecret, Proof
from tokenkeep.providers.entry import RequestFormat, RequestMethod
from tokenkeep.providers.revocation import RevocationResult, read_revocation
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.token_request import revocation_request

RULES = OAuth2Rules(token_url="https://idp.example/token", refresh_url="https://idp.example/token")
URL = "https://idp.example/revoke"


BASIC = BasicSecret(Secret("shh"))


def asked(rules: OAuth2Rules, url: str = URL, *, proof: Proof = BASIC) -> TokenRequest:
    client = Client("client", proof)
    return revocation_request(rules, url, client=client, refresh_token=Secret("rt+1"), properties={})


def form_of(request: TokenRequest) -> dict[str, list[str]]:
    return parse_qs(request.body.reveal())


def test_the_token_is_named_with_its_kind_and_the_client_shows_itself() -> None:
    request = asked(RULES)
    assert (request.method, request.url) == ("POST", URL)
    assert form_of(request) == {"token": ["rt+1"], "token_type_hint": ["refresh_token"]}
    assert request.headers["authorization"].startswith("Basic ")
    posted = asked(RULES, proof=PostedSecret(Secret("shh")))
    assert form_of(posted)["client_secret"] == ["shh"]
    assert "authorization" not in posted.headers


@pytest.mark.parametrize("shape", [{"request_format": RequestFormat.JSON}, {"request_method": RequestMethod.GET}])
def test_it_is_a_posted_form_whatever_the_token_endpoint_takes(shape: dict[str, Any]) -> None:
    request = asked(replace(RULES, **shape))
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert form_of(request)["token"] == ["rt+1"]


def test_an_address_whose_property_is_missing_is_not_made_up() -> None:
    with pytest.raises(InvalidInput):
        asked(RULES, "https://{tenant}.idp.example/revoke")


@pytest.mark.parametrize("status", [200, 204])
def test_a_success_needs_no_body(status: int) -> None:
    assert read_revocation(Answer(status, {}, b"")) is RevocationResult.REVOKED


@pytest.mark.parametrize("error", ["unsupported_token_type", "invalid_token", "invalid_grant", "invalid_request"])
def test_a_refusal_of_the_token_is_final(error: str) -> None:
    answer = Answer(400, {}, json.dumps({"error": error}).encode())
    assert read_revocation(answer) is RevocationResult.REFUSED


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error": "invalid_client"}'),
        (400, b'{"error": "unauthorized_client"}'),
        (400, b'{"error": ["invalid_token"]}'),
        (400, b""),
        (400, b"<html>"),
        (401, b'{"error": "invalid_token"}'),
        (403, b""),
        (404, b""),
        (429, b""),
        (302, b""),
        (500, b'{"error": "invalid_request"}'),
        (503, b""),
    ],
)
def test_whatever_says_nothing_of_the_token_leaves_it_to_be_asked_again(status: int, body: bytes) -> None:
    assert read_revocation(Answer(status, {}, body)) is RevocationResult.LATER


@pytest.mark.parametrize("maybe_sent", [False, True])
def test_silence_leaves_it_to_be_asked_again(*, maybe_sent: bool) -> None:
    lost = NoAnswer(FailureReason.TIMEOUT, maybe_sent=maybe_sent, detail="")
    assert read_revocation(lost) is RevocationResult.LATER
