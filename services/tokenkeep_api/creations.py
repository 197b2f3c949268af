"""What is done once: for each Idempotency-Key, and for each code, with the answer kept, sealed, for those that ask again."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Self, TypeVar, assert_never

import orjson
import structlog
from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from tokenkeep.adapters.postgres.idempotency import Claim, Standing
from tokenkeep.adapters.postgres.unit_of_work import PostgresWork, PostgresWorks
from tokenkeep.application.create_account import AuthorizationCode, GivenCredentials, VerifiedToken
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.application.ports import Vault
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import (
    AuthorizationSpent,
    IdempotencyMismatch,
    RequestInProgress,
    RequestOutcomeUnknown,
)
from tokenkeep.domain.credential import StaticCredentials
from tokenkeep.domain.errors import InvalidInput, TokenkeepError
from tokenkeep.domain.ids import SourceId, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.machine_credentials import MachineCredentials
from tokenkeep_api.audited_calls import ACTIONS
from tokenkeep_api.buffers import CredentialReads
from tokenkeep_api.persistence import PATIENCE, Persistence
from tokenkeep_api.problems import PROBLEM_TYPE, Problem, problem_of
from tokenkeep_api.rendering import JSON_TYPE

IDEMPOTENCY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
IDEMPOTENCY = {
    "name": IDEMPOTENCY_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 255},
    "description": "The same key with the same body creates once, and gives the same answer again for a day.",
}
"""The header in the API's description."""
IDEMPOTENT: dict[str, Any] = {"parameters": [IDEMPOTENCY]}
"""For `openapi_extra` of routes that create and do not answer with 201."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ANSWER = "answer"
_REQUEST = "request"
_VERSION = (1, 0)
_CREATED = 201
_REPLAYED = "replayed"
_POLL_S = 0.1

_log = structlog.get_logger("tokenkeep.api")

Prepared = TypeVar("Prepared")


@dataclass(slots=True)
class Spent:
    """What a request spends and nobody can have twice, as a digest: it is claimed beside an Idempotency-Key, and without one.

    `is_gone`: the provider has taken it, so that it is never to be presented again, whatever becomes of what it gave.
    """

    digest: bytes
    is_gone: bool = False

    @classmethod
    def of(cls, source_id: SourceId, *secrets: Secret) -> Self:
        """A code, or a token with its verifier, of one source."""
        parts = (source_id.hex, *(sha256(one.reveal().encode()).hexdigest() for one in secrets))
        return cls(sha256("|".join(parts).encode()).digest())

    @classmethod
    def by(cls, source_id: SourceId, given: GivenCredentials) -> Self | None:
        """What is spent when these are exchanged; None when they can be had again."""
        match given:
            case AuthorizationCode():
                return cls.of(source_id, given.code)
            case VerifiedToken():
                return cls.of(source_id, given.temporary.token, given.verifier)
            case LiveTokens() | MachineCredentials() | StaticCredentials():
                return None
            case _:
                assert_never(given)

    def note_exchange(self) -> None:
        """Say that the provider has taken it."""
        self.is_gone = True

    def may_be_gone(self, error: BaseException) -> bool:
        """Whether it is, or nobody will ever know, now that the request ends in this error.

        A provider that did not answer, or answered in trouble, may have taken it as well. But then nobody has anything of it,
        so that to present it once more can only win.
        """
        return self.is_gone or isinstance(error, asyncio.CancelledError)

    @property
    def key(self) -> str:
        """No header can hold it: there is a blank in it."""
        return f"spent {self.digest.hex()}"


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request that carries an Idempotency-Key. `digest` tells it from others; it is stored sealed only.

    `spends`: it is of what the request spends, and not of its key.
    """

    claim: Claim
    method: str
    path: str
    digest: bytes
    spends: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was answered."""

    status: int
    body: bytes


class Creations:
    """Runs creations in one transaction with the record of their answer.

    Two equal requests at the same time create once: the second waits on the first one's row and gives its answer. A
    request that is refused leaves nothing behind, so it may be tried again with the same key; but for what it has spent, which
    is refused for the same reason from then on.
    """

    def __init__(
        self,
        works: PostgresWorks,
        persist: Persistence,
        vault: Vault,
        reads: CredentialReads,
        *,
        longest_preparation: timedelta,
    ) -> None:
        self._works = works
        self._persist = persist
        self._reads = reads
        self._vault = vault
        self._longest = longest_preparation

    async def __call__(
        self, request: Request, caller: Caller, create: Callable[[PostgresWork], Awaitable[dict[str, Any]]]
    ) -> Response:
        """201 with what `create` describes; with the answer of before, where there is one.

        Raises:
            InvalidInput: The Idempotency-Key is malformed.
            IdempotencyMismatch: It was used with another request.
        """
        asks = await self._asks_of(request, caller)
        async with self._works() as work:
            for ask in asks:
                standing = await work.idempotency.claim(ask.claim)
                kept = None if standing is None else await self._held(work, standing, ask, repeatable=True)
                if kept is not None:
                    return self._replayed(kept, caller, ask)
            return await self._created(work, asks, create)

    async def prepared(
        self,
        request: Request,
        caller: Caller,
        prepare: Callable[[], Awaitable[Prepared]],
        create: Callable[[PostgresWork, Prepared], Awaitable[dict[str, Any]]],
        *,
        repeatable: bool = False,
        spent: Spent | None = None,
        status: int = _CREATED,
        bare: bool = False,
    ) -> Response:
        """As `__call__`, for what asks somebody outside first. The answer has this status.

        A `bare` one holds what `create` describes as it is, without `data`; its `account_id` names what was made.

        The key is claimed before; equal requests wait for the claim's end. What can't be had a second time is stored with
        patience, and never asked for by another request in the place of one that did not end; what is `repeatable` is left to
        the caller's next request.

        Raises:
            RequestInProgress: An equal request takes longer than requests wait for each other.
            RequestOutcomeUnknown: An equal request did not end, and this is not `repeatable`.
        """
        asks, claimed = await self._asks_of(request, caller, spent, bare=bare), list[_Ask]()
        try:
            for ask in asks:
                kept = await self._reserve(ask, repeatable=repeatable)
                if kept is not None:
                    await self._give_up(claimed)
                    return self._replayed(kept, caller, ask)
                claimed.append(ask)
            preparation = await prepare()

            async def store(work: PostgresWork) -> Response:
                return await self._created(
                    work, asks, lambda again: create(again, preparation), status=status, bare=bare
                )

            if not repeatable:
                return await self._persist(store)
            async with self._works() as work:
                return await store(work)
        except BaseException as error:  # however it ended, the keys are freed, and the error goes on to the caller
            gone = spent is not None and spent.may_be_gone(error)
            await self._give_up(claimed, kept=_refusal_kept(error) if gone else None)
            raise

    async def _asks_of(
        self, request: Request, caller: Caller, spent: Spent | None = None, *, bare: bool = False
    ) -> list[_Ask]:
        """What the request claims, in this order: its key, and what it spends, which other requests may bring under other keys."""
        key, named = idempotency_key(request), _named(request)
        asks: list[_Ask] = []
        if key is not None:
            # Where a bare answer is given, the source is named by a header, and neither by the query nor by the body.
            beside = spent.digest if spent is not None and bare else b""
            asked = named + request.scope["query_string"] + b"\0" + await request.body() + beside
            asks.append(self._ask(request, caller, key, sha256(asked).digest()))
        if spent is not None:
            digest = sha256(named + spent.digest).digest() if named else spent.digest
            asks.append(self._ask(request, caller, spent.key, digest, spends=True))
        return asks

    def _ask(self, request: Request, caller: Caller, key: str, digest: bytes, *, spends: bool = False) -> _Ask:
        path, owner = request.scope["route"].path, new_id()
        sealed_key = self._vault.new_data_key(owner)
        sealed = self._vault.seal(owner, sealed_key, _REQUEST, _VERSION, digest)
        claim = Claim(caller.environment, key, f"{request.method} {path}", owner, sealed_key, sealed)
        return _Ask(claim, request.method, path, digest, spends)

    async def _reserve(self, ask: _Ask, *, repeatable: bool) -> _Answer | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._longest.total_seconds()
        while True:
            try:
                async with self._works() as work:
                    standing = await work.idempotency.claim(ask.claim)
                    return None if standing is None else await self._held(work, standing, ask, repeatable=repeatable)
            except RequestInProgress:
                if loop.time() > until:
                    raise
            await asyncio.sleep(_POLL_S)

    async def _held(self, work: PostgresWork, standing: Standing, ask: _Ask, *, repeatable: bool) -> _Answer | None:
        """The answer to the equal request that holds the key; None when that one died, and the key is this one's now.

        A holder that was only slow finds that it holds the key no more, and stores nothing.
        """
        try:
            return self._answered(standing, ask)
        except RequestInProgress:
            if standing.age <= self._longest + PATIENCE:
                raise
            if not repeatable:
                raise RequestOutcomeUnknown from None
            if await work.idempotency.take_over(standing.claim, ask.claim):
                return None
            raise

    def _answered(self, standing: Standing, ask: _Ask) -> _Answer:
        """The answer of before.

        Raises:
            IdempotencyMismatch: It was given to another request.
            RequestInProgress: There is none yet.
        """
        claim = standing.claim
        digest = self._vault.open(claim.owner, claim.sealed_key, _REQUEST, _VERSION, claim.request)
        if claim.route != ask.claim.route or digest != ask.digest:
            raise IdempotencyMismatch
        if standing.status is None or standing.answer is None:
            raise RequestInProgress
        body = self._vault.open(claim.owner, claim.sealed_key, _ANSWER, _VERSION, standing.answer)
        return _Answer(standing.status, body)

    async def _give_up(self, claimed: Sequence[_Ask], kept: _Answer | None = None) -> None:
        """Free the keys; what was spent keeps this answer, if there is one.

        If that fails the claims end by themselves, and what was spent counts as of unknown outcome; the request's own error is
        what counts.
        """
        if not claimed:
            return
        try:
            async with self._works() as work:
                for ask in claimed:
                    if kept is not None and ask.spends:
                        await work.idempotency.keep(
                            ask.claim, status=kept.status, answer=self._sealed(ask.claim, kept.body)
                        )
                    else:
                        await work.idempotency.give_up(ask.claim)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("claim_kept", error=type(error).__name__)

    async def _created(
        self,
        work: PostgresWork,
        asks: Sequence[_Ask],
        create: Callable[[PostgresWork], Awaitable[dict[str, Any]]],
        *,
        status: int = _CREATED,
        bare: bool = False,
    ) -> Response:
        made = await create(work)
        body = orjson.dumps(made if bare else {"data": made})
        for ask in asks:
            if not await work.idempotency.keep(ask.claim, status=status, answer=self._sealed(ask.claim, body)):
                # Another request holds the key now; rolled back, what was made here never was.
                raise RequestInProgress
        return Response(body, status, media_type=JSON_TYPE)

    def _sealed(self, claim: Claim, body: bytes) -> bytes:
        return self._vault.seal(claim.owner, claim.sealed_key, _ANSWER, _VERSION, body)

    def _replayed(self, answer: _Answer, caller: Caller, ask: _Ask) -> Response:
        if answer.status >= HTTPStatus.BAD_REQUEST:
            return Response(answer.body, answer.status, {REPLAYED_HEADER: "true"}, media_type=PROBLEM_TYPE)
        # It may show a new key, so whoever gets it again is told of.
        document = orjson.loads(answer.body)
        made = document["data"]["id"] if "data" in document else document["account_id"]
        self._reads.note(caller, ACTIONS[ask.method, ask.path], made, _REPLAYED)
        return Response(answer.body, answer.status, {REPLAYED_HEADER: "true"}, media_type=JSON_TYPE)


def _refusal_kept(error: BaseException) -> _Answer:
    """What is answered from now on to whoever brings what was spent when this was raised: the refusal, unless it is to pass."""
    problem = error if isinstance(error, Problem) else None
    if isinstance(error, TokenkeepError):
        problem = problem_of(error)
    if problem is None or problem.headers or problem.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        cancelled = isinstance(error, asyncio.CancelledError)
        problem = problem_of(RequestOutcomeUnknown() if cancelled else AuthorizationSpent())
    assert problem is not None  # noqa: S101 - conflicts are told
    return _Answer(problem.status_code, bytes(problem.response().body))


def _named(request: Request) -> bytes:
    """What the request's path names: the claim's route does not tell one account or webhook from another."""
    return "".join(f"{value}\0" for value in request.path_params.values()).encode()


def idempotency_key(request: Request) -> str | None:
    """The request's Idempotency-Key. Raises `InvalidInput` when it is malformed."""
    keys = request.headers.getlist(IDEMPOTENCY_HEADER)
    if not keys:
        return None
    if len(keys) > 1 or _KEY.fullmatch(keys[0]) is None:
        raise InvalidInput(IDEMPOTENCY_HEADER, "1 to 255 visible ASCII characters")
    return keys[0]
