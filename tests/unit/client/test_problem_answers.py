"""Each refusal has the error that its caller would treat apart."""

import json
import pickle
from typing import Any

import pytest

from tokenkeep import client
from tokenkeep.client import errors
from tokenkeep.client.api_wire import succeeded
from tokenkeep.client.errors import ClientError
from tokenkeep.domain import conflicts


@pytest.mark.parametrize(
    ("status", "code", "members", "error", "facts"),
    [
        (400, "malformed_json", {}, client.InvalidRequest, {}),
        (401, "not_authenticated", {}, client.NotAuthenticated, {}),
        (403, "missing_scope", {"scope": "accounts:read"}, client.NotAllowed, {"scope": "accounts:read"}),
        (404, "not_found", {}, client.NotFound, {}),
        (409, "conflict", {}, client.Conflict, {}),
        (409, "account_disabled", {"reason": "by_operator"}, client.AccountDisabled, {"reason": "by_operator"}),
        (
            409,
            "reauthorization_required",
            {"reason": "revoked", "connect_url": "https://keep.test/c"},
            client.ReauthorizationRequired,
            {"reason": "revoked", "connect_url": "https://keep.test/c"},
        ),
        (409, "account_pending", {}, client.AccountNotReady, {}),
        (409, "account_exists", {"account_id": "acc_1"}, client.AccountExists, {"account_id": "acc_1"}),
        (409, "source_paused", {"reason": "invalid_client"}, client.SourcePaused, {"reason": "invalid_client"}),
        (410, "credentials_erased", {}, client.CredentialsErased, {}),
        (410, "cursor_expired", {}, client.CursorExpired, {}),
        (413, "too_large", {}, client.InvalidRequest, {}),
        (422, "invalid_input", {"field": "options.token_url"}, client.InvalidRequest, {"field": "options.token_url"}),
        (422, "credentials_rejected", {}, client.CredentialsRejected, {}),
        (429, "rate_limited", {}, client.RateLimited, {"maybe_done": False}),
        (500, "internal_error", {}, client.ServiceUnavailable, {"maybe_done": True}),
        (503, "token_unavailable", {"reason": "timeout"}, client.TokenUnavailable, {"reason": "timeout"}),
        (503, "token_unavailable", {"reason": "source_paused"}, client.SourcePaused, {"reason": "source_paused"}),
        (418, "teapot", {}, client.ApiProblem, {}),
    ],
)
def test_each_refusal_is_told_by_its_own_error(
    status: int, code: str, members: dict[str, Any], error: type[Any], facts: dict[str, Any]
) -> None:
    body = json.dumps({"code": code, "detail": "for a reason", **members}).encode()
    with pytest.raises(error) as refused:
        succeeded(status, {"x-request-id": "cor_7", "retry-after": "3"}, body)
    told: Any = refused.value
    assert type(told) is error
    assert (told.status, told.code, told.detail, told.correlation_id) == (status, code, "for a reason", "cor_7")
    assert told.retry_after == 3.0
    assert {name: getattr(told, name) for name in facts} == facts
    copied = pickle.loads(pickle.dumps(told))  # noqa: S301 - our own, a moment ago
    assert (type(copied), str(copied), copied.document) == (error, str(told), told.document)


def test_every_conflict_that_the_server_knows_is_a_conflict_here() -> None:
    codes = {kind.code for kind in all_of(conflicts.Conflict)}
    assert {"account_disabled", "not_held"} <= codes
    for code in codes:
        with pytest.raises(client.Conflict):
            succeeded(409, {}, json.dumps({"code": code, "detail": ""}).encode())


def test_every_error_is_drawn_in_the_tree() -> None:
    drawn = errors.__doc__ or ""
    assert {kind.__name__ for kind in all_of(ClientError) if kind.__name__ not in drawn} == set()
    assert {kind.__name__ for kind in all_of(ClientError) if not hasattr(client, kind.__name__)} == set()


def all_of(kind: type[Any]) -> set[type[Any]]:
    return {kind, *(below for one in kind.__subclasses__() for below in all_of(one))}
