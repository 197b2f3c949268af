"""Whose a token set is, by the token endpoint's own answer."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from tokenkeep.domain.external_id import ExternalId
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.entry import Verification
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.told_identity import told_identity

URL = "https://provider.test/token"
RULES = OAuth2Rules(URL, URL)
OPENID = ("openid", "email")


def an_id_token(**claims: Any) -> str:
    told = {"iss": "https://provider.test", "aud": "client", "sub": "alice", **claims}
    return ".".join(base64.urlsafe_b64encode(json.dumps(it).encode()).decode().rstrip("=") for it in ({}, told, {}))


def told(rules: OAuth2Rules = RULES, *, url: str = URL, scopes: tuple[str, ...] = OPENID, **members: Any) -> str | None:
    answer = Answer(200, {}, json.dumps({"access_token": "at", **members}).encode())
    found = told_identity(answer, rules, url=url, client_id="client", scopes=scopes)
    return None if found is None else found.value


def test_the_providers_own_place_counts_first() -> None:
    rules = replace(RULES, token_external_id_path="stripe_user_id")
    assert told(rules, stripe_user_id="acct_1", id_token=an_id_token()) == "acct_1"
    assert told(rules, id_token=an_id_token()) is None
    assert told(replace(RULES, token_external_id_path="result.uid"), result={"uid": 7}) == "7"


def test_an_id_token_tells_its_subject() -> None:
    assert told(id_token=an_id_token()) == "alice"
    assert told(id_token=an_id_token(aud=["other", "client"])) == "alice"
    assert told(replace(RULES, issuer="https://provider.test"), id_token=an_id_token()) == "alice"


def test_ids_of_two_kinds_are_never_mixed() -> None:
    by_sub = replace(RULES, verification=Verification("https://provider.test/me", external_id="sub"))
    by_id = replace(RULES, verification=Verification("https://provider.test/me", external_id="id"))
    assert told(by_sub, id_token=an_id_token()) == "alice"
    assert told(by_id, id_token=an_id_token()) is None


def test_an_id_tokens_subject_is_of_the_kind_that_user_info_tells() -> None:
    answer = Answer(200, {}, json.dumps({"id_token": an_id_token()}).encode())
    by_sub = replace(RULES, verification=Verification("https://provider.test/me?x=1", external_id="sub"))
    for rules, kind in ((by_sub, "https://provider.test/me sub"), (RULES, "id_token sub")):
        found = told_identity(answer, rules, url=URL, client_id="client", scopes=OPENID)
        assert found == ExternalId("alice", kind)


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://provider.test/token"},
        {"scopes": ("email",)},
        {"id_token": an_id_token(aud="another")},
        {"id_token": an_id_token(aud=None)},
        {"id_token": an_id_token(sub=7)},
        {"id_token": an_id_token(sub="")},
        {"id_token": an_id_token(sub="x" * 256)},
        {"id_token": an_id_token(sub="a\nb")},
        {"id_token": "a.b.c"},
        {"id_token": "a.!!!.c"},
        {"id_token": "x" * 20_000},
        {"id_token": 7},
        {"id_token": None},
    ],
)
def test_an_id_token_that_does_not_count_tells_nobody(changes: dict[str, Any]) -> None:
    assert told(**{"id_token": an_id_token(), **changes}) is None


def test_another_issuer_is_not_believed() -> None:
    rules = replace(RULES, issuer="https://provider.test")
    assert told(rules, id_token=an_id_token(iss="https://evil.test")) is None


def test_an_answer_that_is_no_object_tells_nobody() -> None:
    for body in (b"[]", b"{", b"access_token=at&uid=7", b"\xff", b""):
        assert told_identity(Answer(200, {}, body), RULES, url=URL, client_id="client", scopes=OPENID) is None
    by_form = replace(RULES, token_external_id_path="uid")
    answer = Answer(200, {}, b"access_token=at&uid=7")
    assert told_identity(answer, by_form, url=URL, client_id="client", scopes=OPENID) == ExternalId("7", "token uid")
