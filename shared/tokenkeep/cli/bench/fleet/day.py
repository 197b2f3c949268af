"""A day in the life of a fleet, in no time: when its accounts come due, by the very decisions that workers take.

Accounts don't wait for each other here, so a sample of them tells what all of them would do: each is taken through the day alone, by
`arrival_due_at` and `settle`. What is counted are requests to token endpoints. Beside them: those of a program that refreshes each token
five minutes before its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Final
from uuid import UUID

from tokenkeep.cli.bench.fleet.providers import OPTIONS, PROVIDERS, REFUSED_SHARE, FleetProvider, Trouble
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.domain.account import Account, AccountState, AuthType, Custody, FailureReason
from tokenkeep.domain.arrival import Arrival, arrival_due_at
from tokenkeep.domain.attempt import Attempt, Trigger
from tokenkeep.domain.credential import CredentialVersion, TokenSet
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId
from tokenkeep.domain.lease import Lease, Phase
from tokenkeep.domain.lives_left import LivesLeft
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import Quarantine, rotation_of
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.settlement import settle
from tokenkeep.domain.standing import Rules, Standing
from tokenkeep.domain.verdict import Granted, NotSent, RateLimited, Unavailable, Verdict

DAY_S: Final = 86_400
BIN_S: Final = 120
IMPORT_S: Final = 600
"""All accounts come within ten minutes."""
DOWNTIME: Final = timedelta(hours=3)
CATCHING_UP_PER_S: Final = 2_000
"""So many a second are caught up with after a downtime."""
NAIVE_LEAD_S: Final = 300

_EVEN_FROM_S: Final = 7_200
_T0: Final = datetime(2026, 1, 1, tzinfo=UTC)
_POLICY: Final = RefreshPolicy()
_SEED: Final = 7
_SEEN_BEFORE: Final = 1_000
_REVOKED_A_DAY: Final = 0.001
_TOKENS: Final = TokenSet(Secret("at"), refresh_token=Secret("rt"))
_QUARANTINE: Final = Quarantine(strict=timedelta(seconds=120), provider_deadline=timedelta(seconds=20))
_SOURCE: Final = SourceId(UUID(int=1))
_ATTEMPT: Final = AttemptId(UUID(int=2))


class Beginning(StrEnum):
    """How the day begins.

    `fresh`: an import of all accounts within ten minutes, each with a token that has just been given. `running`: the same out of a system that
    kept them fresh, each until five minutes before its end, so some tokens have just been given and others are about to end. `downtime`: after three hours in which nothing was refreshed.
    """

    FRESH = "fresh"
    RUNNING = "running"
    DOWNTIME = "downtime"


@dataclass(frozen=True, slots=True)
class Load:
    """Requests a second, for each two minutes of the day, as all accounts would make them."""

    per_s: Sequence[float]

    @property
    def mean_per_s(self) -> float:
        """Once everybody has had a round."""
        return _mean(self.per_s[_EVEN_FROM_S // BIN_S :])

    @property
    def peak_ratio(self) -> float:
        """The highest load of the day, as a multiple of the mean."""
        return max(self.per_s) / self.mean_per_s

    @property
    def first_rounds(self) -> float:
        """How far it is from the mean at most within the first two hours, once the import is over; a share of the mean."""
        return self._deviation(IMPORT_S, _EVEN_FROM_S)

    @property
    def afterwards(self) -> float:
        """How far it is from the mean at most from then on; a share of the mean."""
        return self._deviation(_EVEN_FROM_S, DAY_S)

    def _deviation(self, since_s: int, until_s: int) -> float:
        window = self.per_s[since_s // BIN_S : until_s // BIN_S]
        return max(abs(one / self.mean_per_s - 1) for one in window)


@dataclass(frozen=True, slots=True)
class Day:
    """What a day's load is with due times spread out, and without; `chance` is what of it may be the sample's (three deviations)."""

    beginning: Beginning
    ours: Load
    naive: Load
    chance: float


def live_through(beginning: Beginning, *, accounts: int, sample: int, advance: Advance) -> Day:
    """Take a sample of so many accounts through the day."""
    draw = Random(_SEED)  # noqa: S311 - a draw of examples
    bins = DAY_S // BIN_S
    ours, naive = [0] * bins, [0] * bins
    shares = [one.share for one in PROVIDERS]
    arriving = _Arriving(beginning, accounts, draw)
    for number in range(sample):
        provider = draw.choices(PROVIDERS, shares)[0]
        first = arriving.first(provider, number / sample)
        for moment in _Life(provider, draw).requests(first):
            ours[moment // BIN_S] += 1
        for moment in _naive_requests(provider, first):
            naive[moment // BIN_S] += 1
        if number % 500 == 0 or number == sample - 1:
            advance(f"a day, {beginning}", number + 1, sample)
    a_second = accounts / sample / BIN_S
    return Day(beginning, _load(ours, a_second), _load(naive, a_second), chance=3 / _mean(ours) ** 0.5)


def _load(counted: Sequence[int], a_second: float) -> Load:
    return Load([count * a_second for count in counted])


@dataclass(frozen=True, slots=True)
class _First:
    """How an account begins the day.

    `comes_at`: when it arrives, or is first reached after the downtime. `obtained_at`: when its token was given, as far as is known.
    """

    account: Account
    comes_at: datetime
    obtained_at: datetime
    expires_at: datetime
    due_at: datetime


class _Arriving:
    """How accounts begin the day."""

    def __init__(self, beginning: Beginning, accounts: int, draw: Random) -> None:
        self._beginning, self._accounts, self._draw = beginning, accounts, draw
        # A sample stands for many times as many, so what it takes to tell a herd from a running system has long been seen.
        self._lives = {one.number: LivesLeft() for one in PROVIDERS}
        for one in PROVIDERS:
            for _ in range(_SEEN_BEFORE):
                self._lives[one.number].note(self._left(one))

    def first(self, provider: FleetProvider, rank: float) -> _First:
        """How the account begins it before which so large a share of all has come."""
        account_id = AccountId(UUID(int=self._draw.getrandbits(128)))
        account = Account(
            account_id, _SOURCE, "default", provider.slug, AuthType.OAUTH2, AccountState.ACTIVE, Custody.HELD
        )
        if self._beginning is Beginning.DOWNTIME:
            return self._reached(account, timedelta(seconds=provider.life_s), rank)
        comes_at = _T0 + timedelta(seconds=rank * IMPORT_S)
        left, lives = self._left(provider), self._lives[provider.number]
        credential = CredentialVersion(1, 1, 0, comes_at, comes_at + left, None, refreshable=True)
        arrival = Arrival(_T0, lives=lives)
        due_at = arrival_due_at(account, credential, Lease(0, 1), arrival, now=comes_at, policy=_POLICY)
        lives.note(left)
        return _First(account, comes_at, comes_at, comes_at + left, due_at)

    def _reached(self, account: Account, life: timedelta, rank: float) -> _First:
        comes_at = _T0 + timedelta(seconds=rank * self._accounts / CATCHING_UP_PER_S)
        obtained_at = _T0 - DOWNTIME - life * self._draw.random()
        return _First(account, comes_at, obtained_at, obtained_at + life, max(comes_at, obtained_at + life * 0.65))

    def _left(self, provider: FleetProvider) -> timedelta:
        if self._beginning is Beginning.FRESH:
            return timedelta(seconds=provider.life_s)
        return timedelta(seconds=self._draw.uniform(NAIVE_LEAD_S, provider.life_s))


class _Life:
    """One account's day."""

    def __init__(self, provider: FleetProvider, draw: Random) -> None:
        self._provider = provider
        self._draw = draw
        options = OPTIONS[provider.rotation]
        rotation = rotation_of(
            rotates=options["refresh_rotates"],
            grace=timedelta(seconds=int(options.get("old_refresh_grace_s", "0"))),
            reuse=options.get("reuse_detection", "unknown"),
        )
        self._rules = Rules(_POLICY, rotation, _QUARANTINE)
        self._life = timedelta(seconds=provider.life_s)

    def requests(self, first: _First) -> list[int]:
        """When it asks the token endpoint, in seconds of the day."""
        credential = CredentialVersion(1, 1, 0, first.obtained_at, first.expires_at, None, refreshable=True)
        lease = Lease(0, 1, next_refresh_at=first.due_at, due_at=first.due_at)
        standing = Standing(first.account, lease, credential)
        made: list[int] = []
        while (due_at := standing.lease.next_refresh_at) is not None:
            at = (due_at - _T0).total_seconds()
            if at >= DAY_S or self._draw.random() < _REVOKED_A_DAY * provider_period(self._provider) / DAY_S:
                break
            verdict = self._verdict(at, due_at)
            if not isinstance(verdict, NotSent):
                made.append(int(at))
            standing = self._settled(standing, verdict, due_at)
        return made

    def _verdict(self, at: float, now: datetime) -> Verdict:
        provider, trouble = self._provider, self._provider.trouble
        if trouble is not None and provider.in_trouble(at / DAY_S):
            if trouble is Trouble.OUT:
                return NotSent(FailureReason.NETWORK_ERROR)
            if self._draw.random() < REFUSED_SHARE:
                if trouble is Trouble.THROTTLING:
                    return RateLimited(timedelta(seconds=2), 429)
                return Unavailable(FailureReason.PROVIDER_5XX, maybe_spent=False, http_status=503)
        return Granted(replace(_TOKENS, expires_at=now + self._life))

    def _settled(self, standing: Standing, verdict: Verdict, now: datetime) -> Standing:
        fence, generation = standing.lease.fence + 1, standing.credential.generation
        lease = replace(
            standing.lease,
            fence=fence,
            phase=Phase.SENT,
            attempt_id=_ATTEMPT,
            lease_until=now,
            sent_at=now,
            presented_generation=generation,
        )
        attempt = Attempt(
            _ATTEMPT, standing.account.id, 1, fence, generation, Trigger.SCHEDULE, "cor_bench", sent_at=now
        )
        answered = now + timedelta(seconds=self._provider.latency_s(self._draw))
        return settle(replace(standing, lease=lease), attempt, verdict, now=answered, rules=self._rules).standing


def provider_period(provider: FleetProvider) -> float:
    """How many seconds there are between two refreshes of an account, on average."""
    given = _T0
    due = _POLICY.due_at(obtained_at=given, expires_at=given + timedelta(seconds=provider.life_s), jitter=0.5)
    return (due - given).total_seconds()


def needed_per_s(accounts: int) -> float:
    """How many refreshes a second keep so many accounts fresh."""
    whole = sum(one.share for one in PROVIDERS)
    return sum(accounts * one.share / whole / provider_period(one) for one in PROVIDERS)


def _naive_requests(provider: FleetProvider, first: _First) -> list[int]:
    """Each token five minutes before its end, or at once if that has passed."""
    due = max((first.expires_at - _T0).total_seconds() - NAIVE_LEAD_S, (first.comes_at - _T0).total_seconds())
    return [int(at) for at in _every(due, provider.life_s - NAIVE_LEAD_S)]


def _every(first_s: float, period_s: float) -> list[float]:
    count = max(0, int((DAY_S - first_s - 1) // period_s) + 1)
    return [first_s + period_s * number for number in range(count)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
