"""The fast path of tokens: many plain requests of `POST /v1/accounts/{id}/token` answered in one stretch.

It answers only what is plain: a key that was recognised before and has the scope, no particular wish, an active account whose
stored token is good. For these it does what the application does for a 200, by the same objects: rate limit, the key looked
up and the row read after the request came, last use, audit trail, metrics, headers. Everything else, every refusal among it, is
declined before anything is noted of it, and served by the application, which alone has the rules for that.

What it saves is a task, the middlewares and their coroutines for each request: more than all the rest of a read takes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tokenkeep.application.vend_token import ReadyToken, VendedToken
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import InvalidInput, MalformedId, NotAuthenticated
from tokenkeep.domain.ids import AccountId, IdKind, format_id, parse_id
from tokenkeep_api.authentication import Authenticating, KeyUses, bearer_hash, chosen_environment
from tokenkeep_api.client_addresses import ClientAddresses
from tokenkeep_api.envelope import Served, correlation_id_of
from tokenkeep_api.guarded_protocol import Offered
from tokenkeep_api.rate_limits import RateLimits
from tokenkeep_api.refusals import Noting
from tokenkeep_api.rendering import encoded, token
from tokenkeep_api.short_way import pattern_of

_MOST_AT_ONCE: Final = 500
_EMPTY: Final = b"{}"
_JSON: Final = b"application/json"
_ACTION: Final = "token.vend"

Asking = tuple[bytes, str | None]
"""A key's hash, and the environment that its bearer chose."""

_Answer = tuple[bytes, bytes, str, str]
"""The headers' lines and the body; and for whom it is noted: the account's public id and the provider."""


class AtOnce(Protocol):
    """`VendToken.at_once`, and what takes note of tokens that were vended."""

    def __call__(self, held: ReadyToken | None, *, environment: str) -> VendedToken | None:
        """What the row alone gives, if it gives a token."""


@dataclass(frozen=True, slots=True)
class TokenVending:
    """The use-cases and buffers of the token route, as the application has them. `url`: where the API is found."""

    authenticate: Authenticating
    tokens: Callable[[Sequence[AccountId]], Awaitable[Sequence[ReadyToken | None]]]
    at_once: AtOnce
    limits: RateLimits
    addresses: ClientAddresses
    uses: KeyUses
    reads: Noting
    vended: Callable[[str, str, float], None]
    served: Served
    headers: Mapping[bytes, bytes]
    url: str


@dataclass(frozen=True, slots=True)
class _Plain:
    """A request that may be answered here."""

    offered: Offered
    account_id: AccountId
    asking: Asking
    address: str | None
    correlation_id: str
    limits: Sequence[tuple[bytes, bytes]]


class TokenFastPath:
    """Answers in batches that form by themselves: what comes while rows are read goes into the next read.

    The next read is under way while answers are worked out. One that is late is given up, and for a while all requests go to
    the application, which knows how to wait.
    """

    def __init__(self, vending: TokenVending, path: str, *, late_s: float = 0.2, rest_s: float = 1.0) -> None:
        """`path`: the route's, as it is declared. `late_s`: how long a read may take; `rest_s`: how long a while is. In seconds."""
        self._late_s = late_s
        self._rest_s = rest_s
        self._vending = vending
        self._route = path
        self._pattern = pattern_of(path)
        lines = [*vending.headers.items(), (b"cache-control", b"no-store")]
        self._fixed = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
        self._waiting: list[Offered] = []
        self._working: asyncio.Task[None] | None = None
        self._rests_until = 0.0

    def takes(self, cycle: RequestResponseCycle) -> bool:
        """Whether a request's head is one of these."""
        scope = cycle.scope
        return (
            scope["method"] == "POST"
            and scope["path"].endswith("/token")
            and not scope["query_string"]
            and not cycle.waiting_for_100_continue
            and perf_counter() >= self._rests_until
        )

    def take(self, offered: Offered) -> None:
        """Answer it in the next batch, or decline it then. Its body may still be on its way into the same turn of the loop."""
        self._waiting.append(offered)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        batch: _Batch | None = None
        try:
            while batch is not None or self._waiting:  # bounded by what comes
                batch = batch or self._begin()
                if batch is None:
                    continue
                await asyncio.wait({batch.reading}, timeout=self._late_s)
                following = self._begin() if self._waiting else None
                if following is not None:
                    await asyncio.sleep(0)  # its statements go out before this batch's answers are worked out
                self._finish(batch)
                batch = following
        finally:
            self._working = None

    def _begin(self) -> "_Batch | None":
        """Begin to read what those that wait ask for; None where all of them are declined."""
        offers, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
        plain: list[_Plain] = []
        for offered in offers:
            admitted = self._admitted(offered)
            if admitted is None:
                offered.decline()
            else:
                plain.append(admitted)
        return _Batch(plain, asyncio.get_running_loop().create_task(self._read(plain))) if plain else None

    def _admitted(self, offered: Offered) -> _Plain | None:
        cycle = offered.cycle
        scope: Any = cycle.scope
        if cycle.disconnected or cycle.more_body or cycle.flow.write_paused or not _is_without_wish(cycle):
            return None
        found = self._pattern.fullmatch(scope["path"])
        key_hash = bearer_hash(scope)
        if found is None or key_hash is None:
            return None
        try:
            account_id = AccountId(parse_id(IdKind.ACCOUNT, found["account_id"]))
            asking = (key_hash, chosen_environment(scope))
        except (MalformedId, InvalidInput):
            return None
        limits = self._vending.limits.take_known(key_hash)
        if limits is None:
            return None
        return _Plain(offered, account_id, asking, self._vending.addresses(scope), correlation_id_of(scope), limits)

    async def _read(self, plain: Sequence[_Plain]) -> tuple[Mapping[Asking, Caller], Sequence[ReadyToken | None]]:
        callers, stored = await asyncio.gather(
            self._callers({one.asking for one in plain}), self._vending.tokens([one.account_id for one in plain])
        )
        return callers, stored

    async def _callers(self, asking: set[Asking]) -> Mapping[Asking, Caller]:
        """Those that are recognised."""
        found = await asyncio.gather(*(self._caller(*one) for one in asking))
        return {one: caller for one, caller in zip(asking, found, strict=True) if caller is not None}

    async def _caller(self, key_hash: bytes, environment: str | None) -> Caller | None:
        try:
            return await self._vending.authenticate(key_hash, environment=environment, address=None)
        except (NotAuthenticated, InvalidInput):
            return None

    def _finish(self, batch: "_Batch") -> None:
        reading = batch.reading
        if not reading.done():
            reading.cancel()
            self._rests_until = perf_counter() + self._rest_s
        if reading.cancelled() or not reading.done() or reading.exception() is not None:
            for one in batch.plain:
                self._decline(one)
            return
        callers, stored = reading.result()
        seconds = perf_counter() - batch.began
        for one, row in zip(batch.plain, stored, strict=True):
            caller = callers.get(one.asking)
            if caller is None or not caller.may(Scope.CREDENTIALS_READ):
                self._decline(one)
                continue
            try:
                answer = self._answer(one, caller, row)
            except Exception:  # noqa: BLE001 - whatever it is, the application finds it too, and tells of it
                answer = None
            if answer is None:
                self._decline(one)
            else:
                self._send(one, caller, answer, seconds)

    def _decline(self, one: _Plain) -> None:
        self._vending.limits.give_back_known(one.asking[0])
        one.offered.decline()

    def _answer(self, one: _Plain, caller: Caller, row: ReadyToken | None) -> _Answer | None:
        """What is answered; None for what is not plain after all. Nothing is noted yet."""
        vended = self._vending.at_once(row, environment=caller.environment)
        if vended is None:
            return None
        account = format_id(IdKind.ACCOUNT, one.account_id)
        body = encoded(token(vended, f"{self._vending.url}/v1/accounts/{account}"))
        head = [b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)]
        head += [name + b": " + value + b"\r\n" for name, value in one.limits]
        head += [self._fixed, b"x-request-id: ", one.correlation_id.encode(), b"\r\n"]
        return b"".join(head), body, account, vended.provider

    def _send(self, one: _Plain, caller: Caller, answer: _Answer, seconds: float) -> None:
        vending = self._vending
        head, body, account, provider = answer
        caller = Caller(caller.name, caller.environment, caller.scopes, one.address)
        vending.uses.note(caller)
        vending.reads(caller, _ACTION, account, "ok")
        vending.vended(provider, "stored", seconds)
        vending.served("POST", self._route, 200)
        if not one.offered.cycle.disconnected:
            one.offered.connection.answer(one.offered.cycle, head, body)


class _Batch:
    """Requests whose rows are being read."""

    __slots__ = ("began", "plain", "reading")

    def __init__(
        self,
        plain: Sequence[_Plain],
        reading: "asyncio.Task[tuple[Mapping[Asking, Caller], Sequence[ReadyToken | None]]]",
    ) -> None:
        self.plain = plain
        self.reading = reading
        self.began = perf_counter()


def _is_without_wish(cycle: RequestResponseCycle) -> bool:
    """No body, or an empty object, in the plainest of forms."""
    length, media_type = b"0", b""
    for name, value in cycle.scope["headers"]:
        if name == b"content-length":
            length = value
        elif name == b"content-type":
            media_type = value
        elif name == b"transfer-encoding":
            return False
    return length == b"0" or (cycle.body == _EMPTY and media_type == _JSON)
