"""Answers become values: what is known is checked, and a newer server is no fault."""

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from tokenkeep.client import Account, AccountState, Token, UnreadableAnswer, Webhook
from tokenkeep.client.reading import read

ACCOUNT: dict[str, Any] = {
    "id": "acc_1",
    "source_id": "src_1",
    "provider": "quickbooks",
    "environment": "production",
    "external_id": None,
    "metadata": {"a": "b"},
    "properties": {},
    "auth_type": "oauth2",
    "state": "active",
    "health": "healthy",
    "custody": "held",
    "scopes": ["read"],
    "disabled": {"reason": "revoked", "detail": None, "at": "2030-01-01T00:00:00Z", "by": "provider"},
    "created_at": "2030-01-01T00:00:00Z",
    "updated_at": "2030-01-01T00:00:00.5Z",
}


def test_an_account_is_read_with_what_is_in_it() -> None:
    account = read(Account, ACCOUNT)
    assert account.state == AccountState.ACTIVE
    assert account.scopes == ("read",)
    assert account.disabled is not None
    assert account.disabled.at == datetime(2030, 1, 1, tzinfo=UTC)
    assert account.credentials is None


def test_words_and_members_that_are_not_known_are_kept() -> None:
    account = read(Account, {**ACCOUNT, "state": "hibernating", "colour": "blue"})
    assert (account.state, account.document["colour"]) == ("hibernating", "blue")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"id": 7}, "Account.id"),
        ({"scopes": "read"}, "Account.scopes"),
        ({"scopes": [1]}, "Account.scopes"),
        ({"created_at": "yesterday"}, "Account.created_at"),
        ({"created_at": "2030-01-01T00:00:00"}, "Account.created_at"),
        ({"disabled": []}, "Account.disabled"),
        ({"disabled": {"reason": "canary"}}, "Account.disabled.at"),
        ({"consecutive_failures": True}, "Account.consecutive_failures"),
    ],
)
def test_what_is_of_another_kind_is_named_and_not_quoted(change: dict[str, Any], named: str) -> None:
    with pytest.raises(UnreadableAnswer, match=named) as refused:
        read(Account, {**ACCOUNT, **change})
    assert "canary" not in str(refused.value)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UnreadableAnswer, match=r"Account\.state is missing"):
        read(Account, {name: value for name, value in ACCOUNT.items() if name != "state"})
    with pytest.raises(UnreadableAnswer, match="no JSON object"):
        read(Account, None)


def test_nothing_shows_a_token() -> None:
    token = read(
        Token, {"access_token": "canary", "headers": {"Authorization": "Bearer canary"}, "query": {"k": "canary"}}
    )
    assert token.access_token == "canary"
    assert "canary" not in f"{token} {token!r} {[token]!r} {token:}"
    for leak in (pickle.dumps, json.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(token)


def test_secrets_that_are_shown_once_are_in_no_repr() -> None:
    webhook: dict[str, Any] = {
        "id": "whk_1",
        "environment": "e",
        "url": "https://app.test",
        "ordered": False,
        "enabled": True,
        "created_at": "2030-01-01T00:00:00Z",
        "updated_at": "2030-01-01T00:00:00Z",
        "secret": "whsec_canary",
    }
    made = read(Webhook, webhook)
    assert made.secret == "whsec_canary"
    assert "canary" not in repr(made)
    assert "canary" not in repr(read(Account, {**ACCOUNT, "credentials": {"api_key": "canary"}}))
