"""The domain's decisions against a provider that rotates, with anything happening at any time.

Hypothesis plays the workers, the wire, the sweeper, the user and the operator: answers are lost or come late, processes die,
leases are taken over. The provider keeps the books: which token is alive, and whose fault a dead grant is.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain_examples import NOW, QUARANTINE, a_standing, an_account
from tokenkeep.domain.account import AccountState, DisabledReason, FailureReason
from tokenkeep.domain.attempt import Attempt, Trigger
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.events import EventType
from tokenkeep.domain.expiry_notice import STAGES
from tokenkeep.domain.ids import AttemptId
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.reauthorization import reauthorize
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import Rotation, RotationKind, may_retry_at_once
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.settlement import settle
from tokenkeep.domain.standing import Circumstances, Orphan, Rules, Settlement, Standing
from tokenkeep.domain.takeover import take_over
from tokenkeep.domain.transitions import disable, enable
from tokenkeep.domain.verdict import (
    Granted,
    Misconfigured,
    NotSent,
    RateLimited,
    Revoked,
    Unavailable,
    Verdict,
)

POLICY = RefreshPolicy()
ROTATIONS = [
    Rotation(RotationKind.NONE),
    Rotation(RotationKind.GRACE, timedelta(hours=1), same_successor=True),
    Rotation(RotationKind.STRICT),
    Rotation(RotationKind.STRICT_REVOKE),
]
HARMLESS: list[Verdict] = [
    RateLimited(timedelta(seconds=30), 429),
    Misconfigured(FailureReason.INVALID_CLIENT, "invalid_client", 401),
    Unavailable(FailureReason.PROVIDER_4XX, maybe_spent=False, http_status=403),
    NotSent(FailureReason.TIMEOUT),
]


@dataclass(frozen=True)
class Lives:
    """How long tokens live: the access token (None: for ever), a refresh token unused, and a grant, whatever is done."""

    access: timedelta | None = timedelta(hours=1)
    idle: timedelta | None = None
    grant: timedelta | None = None


LIVES = [
    Lives(),
    Lives(),
    Lives(access=None, idle=timedelta(days=14)),
    Lives(access=timedelta(days=60), idle=timedelta(days=14)),
    Lives(access=timedelta(days=60), grant=timedelta(days=90)),
]


FATES = st.sampled_from([True, True, True, False])
"""Most presentations are processed, and most answers arrive."""


@dataclass
class Provider:
    """The other side: tokens are numbered; only the newest is alive, and inside a grace the one before it."""

    rotation: Rotation
    newest: int = 1
    oldest: int = 1
    dead: bool = False
    revoked_by_user: bool = False
    successor_lost: bool = False

    def present(self, token: int) -> int | None:
        """The token that the answer holds; None when the grant, or this token, is refused."""
        if self.dead or not self.oldest <= token <= self.newest:
            return None
        if self.rotation.kind is RotationKind.NONE:
            return token
        if token == self.newest:
            self.newest += 1
            return self.newest
        if self.rotation.kind is RotationKind.GRACE and token == self.newest - 1:
            return self.newest
        self.dead = self.rotation.kind is RotationKind.STRICT_REVOKE
        return None

    def is_alive(self, token: int) -> bool:
        if self.dead or not self.oldest <= token <= self.newest:
            return False
        spare = 1 if self.rotation.kind is RotationKind.GRACE else 0
        return token >= self.newest - spare or self.rotation.kind is RotationKind.NONE


@dataclass
class Flight:
    """One presentation that a living worker waits for, or whose answer it holds."""

    attempt: Attempt
    token: int
    verdict: Verdict | None = None
    brought: int | None = None


@dataclass
class World:
    provider: Provider
    rules: Rules
    standing: Standing
    lives: Lives
    now: datetime = NOW
    granted_at: datetime = NOW
    token: int = 1
    flights: list[Flight] = field(default_factory=list)
    orphans: dict[AttemptId, tuple[int, int, int]] = field(default_factory=dict)
    told: list[EventType] = field(default_factory=list)
    attempts: int = 0
    expiring_told: int = 0
    overslept: bool = False

    def token_set(self, number: int) -> TokenSet:
        lives = self.lives
        return TokenSet(
            Secret("access"),
            refresh_token=Secret(str(number)),
            expires_at=None if lives.access is None else self.now + lives.access,
            refresh_token_expires_at=None if lives.grant is None else self.granted_at + lives.grant,
        )


def number_of(tokens: TokenSet) -> int:
    assert tokens.refresh_token is not None
    return int(tokens.refresh_token.reveal())


class Custody(RuleBasedStateMachine):
    """What may happen to one account."""

    world: World

    @initialize(rotation=st.sampled_from(ROTATIONS), lives=st.sampled_from(LIVES))
    def begin(self, rotation: Rotation, lives: Lives) -> None:
        standing = a_standing(
            lease={"phase": Phase.IDLE, "attempt_id": None, "lease_until": None, "fence": 0},
            credential={"generation": 1, "installed_fence": 0},
        )
        rules = Rules(POLICY, rotation, QUARANTINE, idle_life=lives.idle)
        self.world = World(Provider(rotation), rules, standing, lives)

    # Workers.

    @precondition(lambda self: self.may_lease())
    @rule(sent=FATES, processed=FATES, answered=FATES)
    def refresh(self, *, sent: bool, processed: bool, answered: bool) -> None:
        self.lease()
        if sent:  # else the worker dies, or is stopped, before it writes ahead
            self.send(processed=processed, answered=answered)

    @precondition(lambda self: self.may_lease())
    @rule(verdict=st.sampled_from(HARMLESS))
    def be_turned_away(self, verdict: Verdict) -> None:
        """The provider answers without touching the token, or nothing was sent."""
        self.lease()
        self.send(processed=False, answered=True)
        self.world.flights[-1].verdict = verdict

    def lease(self) -> None:
        """Time passes until the account is due, and a worker takes it."""
        world = self.world
        due, ready = world.standing.lease.next_refresh_at, world.standing.lease.not_before
        assert due is not None
        world.now = max(world.now, due, ready or due)
        world.attempts += 1
        world.standing = replace(
            world.standing,
            lease=replace(
                world.standing.lease,
                fence=world.standing.lease.fence + 1,
                phase=Phase.LEASED,
                attempt_id=AttemptId(UUID(int=world.attempts)),
                lease_until=world.now + timedelta(seconds=30),
                due_at=world.now + timedelta(seconds=60),
            ),
        )

    def may_lease(self) -> bool:
        lease = self.world.standing.lease
        return lease.phase is Phase.IDLE and lease.next_refresh_at is not None

    def send(self, *, processed: bool, answered: bool) -> None:
        world = self.world
        lease, stored = world.standing.lease, world.standing.credential
        assert lease.attempt_id is not None
        attempt = Attempt(
            id=lease.attempt_id,
            account_id=an_account().id,
            epoch=lease.epoch,
            fence=lease.fence,
            presented_generation=stored.generation,
            trigger=Trigger.SCHEDULE,
            correlation_id="cor",
            sent_at=world.now,
        )
        sent = replace(
            lease,
            phase=Phase.SENT,
            sent_at=world.now,
            presented_generation=stored.generation,
            lease_until=world.now + QUARANTINE.span(world.rules.rotation),
        )
        world.standing = replace(world.standing, lease=sent)
        flight = Flight(attempt, world.token)
        world.flights.append(flight)
        self.present(flight, processed=processed, answered=answered)

    def present(self, flight: Flight, *, processed: bool, answered: bool) -> None:
        provider = self.world.provider
        assert provider.dead or provider.is_alive(flight.token) or provider.successor_lost or self.world.overslept, (
            "a used-up token was presented"
        )
        lost = Unavailable(FailureReason.TIMEOUT, maybe_spent=True)
        if not processed:
            flight.verdict = lost
            return
        newest = provider.newest
        brought = provider.present(flight.token)
        if not answered:
            provider.successor_lost |= provider.newest != newest
            flight.verdict = lost
        elif brought is None:
            flight.verdict = Revoked("invalid_grant", None, 400)
        else:
            flight.verdict, flight.brought = Granted(self.world.token_set(brought)), brought

    @precondition(lambda self: self.lost_in_flight())
    @rule(processed=FATES, answered=FATES)
    def present_again(self, *, processed: bool, answered: bool) -> None:
        """The holder asks once more where the successor comes once more."""
        flight = next(one for one in self.world.flights if self.is_lost(one))
        if may_retry_at_once(
            self.world.rules.rotation, retries=0, since_sent=timedelta(0), deadline=timedelta(seconds=32)
        ):
            self.present(flight, processed=processed, answered=answered)

    def is_lost(self, flight: Flight) -> bool:
        holds = flight.attempt.fence == self.world.standing.lease.fence
        return holds and isinstance(flight.verdict, Unavailable) and flight.verdict.maybe_spent

    def lost_in_flight(self) -> bool:
        return any(self.is_lost(one) for one in self.world.flights)

    @precondition(lambda self: self.world.flights)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Any worker, however late."""
        world = self.world
        flight = data.draw(st.sampled_from(world.flights))
        world.flights.remove(flight)
        assert flight.verdict is not None
        bearing = Circumstances(orphan=self.fitting_orphan())
        settled = settle(
            world.standing, flight.attempt, flight.verdict, now=world.now, rules=world.rules, circumstances=bearing
        )
        if flight.brought is not None and settled.orphan is None and settled.install is None:
            stored = settled.standing.credential
            replaced_long_ago = stored.epoch - flight.attempt.epoch > 1
            assert replaced_long_ago or stored.installed_fence == flight.attempt.fence, "a token was dropped"
        if settled.orphan is not None:
            generation = flight.attempt.presented_generation
            world.orphans[flight.attempt.id] = (number_of(settled.orphan), flight.attempt.epoch, generation)
        if settled.tried is not None:
            del world.orphans[settled.tried]
        self.apply(settled)

    def fitting_orphan(self) -> Orphan | None:
        stored = self.world.standing.credential
        for attempt_id, (number, epoch, generation) in self.world.orphans.items():
            if epoch == stored.epoch and generation >= stored.generation - 1:
                return Orphan(attempt_id, self.world.token_set(number))
        return None

    @precondition(lambda self: self.world.flights)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A worker is killed with its answer, or before it came."""
        flight = data.draw(st.sampled_from(self.world.flights))
        self.world.flights.remove(flight)
        if flight.brought is not None and self.world.rules.rotation.spends:
            self.world.provider.successor_lost = True

    # The sweeper. A presentation is over, and an answer settled, before the quarantine is (assumption A1).

    @precondition(lambda self: self.world.standing.lease.phase is not Phase.IDLE and not self.is_held())
    @rule()
    def sweep(self) -> None:
        self.take_over()

    def take_over(self) -> None:
        world = self.world
        until = world.standing.lease.lease_until
        assert until is not None
        world.now = max(world.now, until)
        self.apply(take_over(world.standing, now=world.now, rules=world.rules))
        due = world.standing.lease.due_at
        assert due is None or due >= world.now, "claims may begin behind what is past"

    @precondition(lambda self: self.is_held() and not self.world.overslept)
    @rule()
    def oversleep(self) -> None:
        """The assumption is broken once: a worker sleeps beyond every quarantine with its answer unread."""
        self.world.overslept = self.world.provider.successor_lost = True
        self.take_over()

    @precondition(lambda self: self.is_held() and not self.world.overslept)
    @rule()
    def fail_over_with_loss(self) -> None:
        """The database comes back without the latest lease, whose number will be given out again."""
        world = self.world
        world.overslept = world.provider.successor_lost = True
        lease = world.standing.lease
        world.standing = replace(
            world.standing, lease=replace(lease.freed(), fence=lease.fence - 1, due_at=lease.next_refresh_at)
        )

    def is_held(self) -> bool:
        lease = self.world.standing.lease
        return lease.phase is Phase.SENT and any(one.attempt.fence == lease.fence for one in self.world.flights)

    # The world.

    @rule(act=st.sampled_from([*("look on",) * 12, "revoke", "authorise", "authorise", "switch off"]))
    def somebody_acts(self, act: str) -> None:
        world, provider = self.world, self.world.provider
        if act == "revoke":
            provider.dead = provider.revoked_by_user = True
        elif act == "authorise":
            self.authorise_again()
        elif act == "switch off":
            off = disable(world.standing, DisabledReason.BY_OPERATOR, by="key_1", now=world.now)
            if off is not None:
                self.apply(off)

    @precondition(lambda self: self.disabled_for() is DisabledReason.BY_OPERATOR)
    @rule()
    def switch_on(self) -> None:
        on = enable(self.world.standing, now=self.world.now, idle_life=self.world.lives.idle)
        assert isinstance(on, Settlement)
        self.apply(on)

    def disabled_for(self) -> DisabledReason | None:
        disabled = self.world.standing.account.disabled
        return None if disabled is None else disabled.reason

    @precondition(lambda self: self.disabled_for() not in {None, DisabledReason.BY_OPERATOR})
    @rule()
    def authorise_again(self) -> None:
        world, provider = self.world, self.world.provider
        provider.newest = provider.oldest = provider.newest + 1
        provider.dead = provider.revoked_by_user = provider.successor_lost = False
        world.granted_at, world.expiring_told = world.now, 0
        tokens, idle = world.token_set(provider.newest), world.lives.idle
        account, lease, stored = world.standing.account, world.standing.lease, world.standing.credential
        self.apply(reauthorize(account, lease, stored, tokens, now=world.now, policy=POLICY, idle_life=idle))

    def apply(self, settled: Settlement) -> None:
        before, after = self.world.standing, settled.standing
        assert after.lease.fence >= before.lease.fence
        assert after.lease.epoch >= before.lease.epoch
        assert after.credential.generation >= before.credential.generation
        assert (after.credential.epoch, after.credential.installed_fence) >= (
            before.credential.epoch,
            before.credential.installed_fence,
        )
        if settled.install is not None:
            number = number_of(settled.install)
            assert number >= self.world.token, "an older token was installed over a younger one"
            self.world.token = number
            if number == self.world.provider.newest:
                self.world.provider.successor_lost = False
        self.world.standing = after
        self.world.told += [one.type for one in settled.happenings]
        self.check_what_was_told(before, settled)

    def check_what_was_told(self, before: Standing, settled: Settlement) -> None:
        told = [one.type for one in settled.happenings]
        turned_off = (
            before.account.state is AccountState.ACTIVE and settled.standing.account.state is AccountState.DISABLED
        )
        assert told.count(EventType.DISABLED) == turned_off
        assert len(told) == len(set(told))
        self.world.expiring_told += told.count(EventType.EXPIRING)

    # What must hold at all times.

    @invariant()
    def nobody_is_disabled_for_somebody_elses_fault(self) -> None:
        world = self.world
        disabled = world.standing.account.disabled
        if disabled is None or disabled.reason is DisabledReason.BY_OPERATOR or world.overslept:
            return
        held = [one.brought for one in world.flights if one.brought is not None]
        assert not world.provider.is_alive(world.token)
        if disabled.reason is DisabledReason.REVOKED:
            assert world.provider.revoked_by_user
        else:
            assert world.provider.revoked_by_user or world.provider.successor_lost or held

    @invariant()
    def every_active_account_is_owed_a_refresh_and_looked_after(self) -> None:
        standing = self.world.standing
        if standing.account.state is AccountState.ACTIVE:
            assert standing.lease.next_refresh_at is not None
        if standing.lease.phase is not Phase.IDLE or standing.lease.next_refresh_at is not None:
            assert standing.lease.due_at is not None

    @invariant()
    def a_grants_end_is_told_once_for_each_stage_and_only_where_there_is_one(self) -> None:
        assert self.world.expiring_told <= (0 if self.world.lives.grant is None else len(STAGES))

    @invariant()
    def nobody_lets_a_refresh_token_die_unused(self) -> None:
        standing, idle = self.world.standing, self.world.lives.idle
        hindered = standing.lease.consecutive_failures or standing.lease.not_before is not None
        if idle is not None and standing.account.state is AccountState.ACTIVE and not hindered:
            assert standing.lease.next_refresh_at is not None
            assert standing.lease.next_refresh_at < standing.credential.obtained_at + idle

    @invariant()
    def at_most_one_holder_may_write_bad_news(self) -> None:
        fences = [one.attempt.fence for one in self.world.flights]
        assert len(fences) == len(set(fences)) or self.world.overslept


Custody.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestCustody = Custody.TestCase
