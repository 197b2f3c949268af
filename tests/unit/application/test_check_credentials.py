"""When a provider is asked about credentials, and which of its words are believed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tokenkeep.application.check_credentials import CheckCredentials, InHand
from tokenkeep.bootstrap import ProcessClocks
from tokenkeep.domain.account import AuthType, FailureReason
from tokenkeep.domain.errors import ConnectFailed
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source, SourceState
from tokenkeep.domain.verification import Confirmed, Finding, Rejected, Unknown, UnknownReason
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.entry import Property, Provider, Verification

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ME = Verification("https://{shop}.acme.test/me", external_id="sub")
KIND = "https://{shop}.acme.test/me sub"
SHOP = Property("shop", r"[a-z]+", "Shop")
HELD = InHand({"access_token": Secret("canary-at")}, "Bearer", None, None, renewable=True, fresh=False)
SOURCE = Source(
    id=SourceId(UUID(int=1)),
    environment="default",
    provider="acme",
    name="n",
    auth_type=AuthType.OAUTH2,
    client_id="client",
    scopes=(),
    options={},
    state=SourceState.ACTIVE,
    paused_reason=None,
    secret_version=1,
    created_at=NOW,
    updated_at=NOW,
)


@dataclass
class OneAnswer:
    """Endpoints of which every one says the same."""

    answer: Answer | NoAnswer | ConnectFailed
    requests: list[TokenRequest] = field(default_factory=list)

    @asynccontextmanager
    async def lend(
        self, request: TokenRequest, *, reuse_window_s: float, deadline: float
    ) -> AsyncIterator["OneAnswer"]:
        assert (reuse_window_s, deadline > 0, request.url.startswith("https://")) == (0, True, True)
        if isinstance(self.answer, ConnectFailed):
            raise self.answer
        yield self

    async def exchange(self, request: TokenRequest, *, deadline: float, send_before: float) -> Answer | NoAnswer:
        assert not isinstance(self.answer, ConnectFailed)
        assert (deadline > 0, send_before) == (True, 1.0)
        self.requests.append(request)
        return self.answer


class Unhurried(ProcessClocks):
    """Clocks of somebody who need not wait; they count how often he would have had to."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.waits = 0

    async def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 1
        self.waits += 1


@dataclass
class AnswersInTurn(OneAnswer):
    """Endpoints that say one thing after another."""

    later: list[Answer | NoAnswer | ConnectFailed] = field(default_factory=list)

    async def exchange(self, request: TokenRequest, *, deadline: float, send_before: float) -> Answer | NoAnswer:
        said = await OneAnswer.exchange(self, request, deadline=deadline, send_before=send_before)
        if self.later:
            self.answer = self.later.pop(0)
        return said


def says(status: int, body: bytes) -> OneAnswer:
    return OneAnswer(Answer(status, {}, body))


async def unsigned(_source: Source, _fields: Mapping[str, Secret], request: TokenRequest) -> TokenRequest:
    return request


REFUSING = b'{"error": "invalid_token"}'


async def checked(
    endpoints: OneAnswer,
    held: InHand = HELD,
    *,
    recalled: bool = False,
    options: Mapping[str, Any] | None = None,
    verification: Verification | None = ME,
    properties: Mapping[str, str] | None = None,
    clocks: ProcessClocks | None = None,
    insist: bool = False,
) -> Finding | None:
    provider = Provider("acme", "Acme", AuthType.OAUTH2, placeholders=(SHOP,), verification=verification)
    provider = replace(provider, recalled_fields=("verify",) if recalled else ())
    check = CheckCredentials(
        Catalogue({"acme": provider}), endpoints, clocks or Unhurried(), timedelta(seconds=1), unsigned
    )
    given = {"shop": "blue"} if properties is None else properties
    return await check(replace(SOURCE, options=options or {}), held, given, now=NOW, insist=insist)


async def test_one_request_is_sent_and_its_answer_read() -> None:
    endpoints = says(200, b'{"sub": "alice"}')
    assert await checked(endpoints) == Confirmed("alice", KIND)
    [request] = endpoints.requests
    assert request.url == "https://blue.acme.test/me"


async def test_where_there_is_nothing_to_ask_nobody_is_asked() -> None:
    endpoints = says(200, b'{"sub": "alice"}')
    expired = replace(HELD, expires_at=NOW)
    assert await checked(endpoints, verification=None) is None
    assert await checked(endpoints, expired) == Unknown(UnknownReason.TOKEN_EXPIRED)
    assert await checked(endpoints, properties={}) == Unknown(UnknownReason.MISSING_PROPERTY)
    assert await checked(endpoints, properties={"shop": "evil.test/"}) == Unknown(UnknownReason.MISSING_PROPERTY)
    assert endpoints.requests == []


async def test_a_user_info_endpoint_is_not_asked_about_a_grant_that_it_cannot_take() -> None:
    endpoints = says(401, REFUSING)
    drive = replace(HELD, scopes=("https://www.googleapis.com/auth/drive",))
    lacking = Unknown(UnknownReason.INSUFFICIENT_SCOPE)
    assert await checked(endpoints, drive, recalled=True) == lacking
    discovered = {
        "discovery_url": "https://acme.test",
        "userinfo_url": "https://acme.test/me",
        "external_id_path": "sub",
    }
    assert await checked(endpoints, drive, options=discovered) == lacking
    assert endpoints.requests == []
    for scope in ("openid", "email", "https://www.googleapis.com/auth/userinfo.email"):
        identified = replace(HELD, scopes=("x", scope))
        assert await checked(endpoints, identified, recalled=True) == Rejected("invalid_token", 401)
    named = {"userinfo_url": "https://acme.test/me", "external_id_path": "sub"}
    assert await checked(endpoints, drive, options=named) == Rejected("invalid_token", 401)


async def test_what_a_provider_has_just_given_is_not_called_bad_on_a_hunch() -> None:
    fresh = replace(HELD, fresh=True)
    unproven = Unknown(UnknownReason.REJECTED_UNPROVEN)
    assert await checked(says(401, REFUSING), fresh, recalled=True) == unproven
    assert await checked(says(401, b""), recalled=True) == unproven
    assert await checked(says(401, REFUSING), fresh) == Rejected("invalid_token", 401)


async def test_no_code_and_no_id_shows_what_was_sent() -> None:
    assert await checked(says(401, b'{"error": "canary_at"}')) == Rejected("unknown_error", 401)
    assert await checked(says(200, b'{"sub": "x-canary-at"}')) == Confirmed(None)
    named = replace(HELD, fields={**HELD.fields, "username": Secret("alice")})
    assert await checked(says(200, b'{"sub": "alice"}'), named) == Confirmed("alice", KIND), "a name is no secret"


async def test_who_cannot_be_had_says_nothing() -> None:
    away = OneAnswer(ConnectFailed(FailureReason.TIMEOUT, "no connection"))
    assert await checked(away) == Unknown(UnknownReason.TIMEOUT)
    lost = OneAnswer(NoAnswer(FailureReason.NETWORK_ERROR, maybe_sent=True, detail="reset"))
    assert await checked(lost) == Unknown(UnknownReason.NETWORK_ERROR)


async def test_where_a_word_is_needed_a_failure_that_may_pass_is_given_one_more_try() -> None:
    alice = Answer(200, {}, b'{"sub": "alice"}')
    lost = NoAnswer(FailureReason.TIMEOUT, maybe_sent=True, detail="slow")
    passing: list[Answer | NoAnswer] = [Answer(503, {}, b""), Answer(429, {}, b""), lost]
    for failure in passing:
        clocks, endpoints = Unhurried(), AnswersInTurn(failure, later=[alice])
        assert await checked(endpoints, clocks=clocks, insist=True) == Confirmed("alice", KIND)
        assert (clocks.waits, len(endpoints.requests)) == (1, 2)
        endpoints = AnswersInTurn(failure, later=[failure, alice])
        assert isinstance(await checked(endpoints, insist=True), Unknown)
        assert len(endpoints.requests) == 2
        endpoints = AnswersInTurn(failure, later=[alice])
        assert isinstance(await checked(endpoints), Unknown)
        assert len(endpoints.requests) == 1
    for status, body in ((403, b'{"error": "insufficient_scope"}'), (401, REFUSING)):
        endpoints = AnswersInTurn(Answer(status, {}, body), later=[alice])
        assert not isinstance(await checked(endpoints, insist=True), Confirmed)
        assert len(endpoints.requests) == 1
