"""What becomes of a refresh token's end when its account is settled, swept, switched on or authorised anew."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain_examples import HOUR, KEPT, NOW, STRICT, a_standing, an_account, an_attempt, granted
from tokenkeep.domain.account import AccountState, DisabledReason, FailureReason
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.events import EventType
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.reauthorization import reauthorize
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.settlement import settle
from tokenkeep.domain.standing import Circumstances, Orphan, Rules, Settlement, Standing
from tokenkeep.domain.takeover import take_over
from tokenkeep.domain.transitions import disable, enable, end_or_tell, first_scheduled
from tokenkeep.domain.verdict import NotSent, Revoked, Unavailable

DAY = timedelta(days=1)
END = NOW + 30 * DAY
POLICY = RefreshPolicy()
IDLE: dict[str, Any] = {"phase": Phase.IDLE, "attempt_id": None, "lease_until": None}
REVOKED = Revoked("invalid_grant", None, 400)


def refreshed(
    stored: dict[str, Any] | None = None,
    *,
    same_token: bool = False,
    rules: Rules = STRICT,
    lease: dict[str, Any] | None = None,
    now: datetime = NOW,
    **tokens: Any,
) -> Settlement:
    bearing = Circumstances(same_token=same_token)
    standing = a_standing(credential=stored, lease=lease)
    attempt = an_attempt(sent_at=now)
    return settle(standing, attempt, granted(**tokens), now=now, rules=rules, circumstances=bearing)


def types(settlement: Settlement | None) -> list[EventType]:
    assert settlement is not None
    return [happening.type for happening in settlement.happenings]


TOLD = {"refresh_token_expires_at": END}
DERIVED: dict[str, Any] = {"refresh_token_expires_at": END, "refresh_end_derived": True}
EARLIER = {"refresh_token_expires_at": NOW + DAY, "refresh_end_derived": False}


@pytest.mark.parametrize(
    ("stored", "tokens", "same_token", "end", "derived"),
    [
        (EARLIER, TOLD, False, END, False),
        (EARLIER, TOLD, True, END, False),
        (EARLIER, {**TOLD, "refresh_token": None}, False, END, False),
        (EARLIER, DERIVED, False, END, True),
        (EARLIER, DERIVED, True, NOW + DAY, False),
        ({}, DERIVED, True, None, False),
        (EARLIER, {}, True, NOW + DAY, False),
        (EARLIER, {"refresh_token": None}, False, NOW + DAY, False),
        (DERIVED, {"refresh_token": None}, False, END, True),
        (DERIVED, {}, True, END, True),
        (DERIVED, TOLD, True, END, False),
        (EARLIER, {}, False, None, False),
        (EARLIER, {"refresh_endless": True}, True, None, False),
        (EARLIER, {"refresh_endless": True, "refresh_token": None}, False, None, False),
    ],
)
def test_an_end_is_told_or_derived_for_a_new_token_or_kept_as_it_was(
    stored: dict[str, Any], tokens: dict[str, Any], *, same_token: bool, end: datetime | None, derived: bool
) -> None:
    credential = refreshed(stored, same_token=same_token, **tokens).standing.credential
    assert (credential.refresh_token_expires_at, credential.refresh_end_derived) == (end, derived)


@pytest.mark.parametrize(
    ("end", "derived", "reason"),
    [
        (NOW - HOUR, False, DisabledReason.EXPIRED),
        (NOW - HOUR, True, DisabledReason.REVOKED),
        (NOW + HOUR, False, DisabledReason.REVOKED),
        (None, False, DisabledReason.REVOKED),
    ],
)
def test_only_an_end_that_was_told_makes_a_refusal_an_expiry(
    end: datetime | None, *, derived: bool, reason: DisabledReason
) -> None:
    standing = a_standing(credential={"refresh_token_expires_at": end, "refresh_end_derived": derived})
    settled = settle(standing, an_attempt(), REVOKED, now=NOW, rules=STRICT)
    assert settled.standing.account.disabled is not None
    assert settled.standing.account.disabled.reason is reason


def test_a_token_that_outlives_its_usual_life_goes_on_being_refreshed() -> None:
    stored = {"refresh_token_expires_at": NOW - DAY, "refresh_end_derived": True, "expires_at": NOW - HOUR}
    for settled in (
        refreshed(stored, refresh_token=None),
        settle(a_standing(credential=stored), an_attempt(), NotSent(FailureReason.TIMEOUT), now=NOW, rules=STRICT),
    ):
        assert settled.standing.account.state is AccountState.ACTIVE
        assert settled.standing.lease.next_refresh_at is not None
    granted_on = refreshed(stored, refresh_token=None).standing.lease.next_refresh_at
    assert granted_on is not None
    assert granted_on > NOW + HOUR / 2


def test_near_an_end_that_stands_refreshes_do_not_chase_one_another() -> None:
    stored = {"refresh_token_expires_at": NOW + timedelta(minutes=20)}
    settled = refreshed(stored, refresh_token=None, rules=KEPT)
    assert settled.standing.lease.next_refresh_at == NOW + HOUR


def test_a_refresh_token_is_used_before_it_dies_idle() -> None:
    rules = replace(STRICT, idle_life=14 * DAY)
    for expires_at in (NOW + 60 * DAY, None):
        at = refreshed(rules=rules, expires_at=expires_at).standing.lease.next_refresh_at
        assert at is not None
        assert NOW + 11 * DAY < at < NOW + 14 * DAY
    assert refreshed(expires_at=None).standing.lease.next_refresh_at is None


def told_at(lease: Any, when: datetime) -> dict[str, Any]:
    """A lease under which the stage before END is told at that moment."""
    return {"watched_end": END, "tell_at": when, **(lease or {})}


def test_the_refresh_after_a_stage_tells_it_in_its_own_settlement() -> None:
    lease = told_at(None, END - 7 * DAY)
    now = END - 7 * DAY + timedelta(minutes=5)
    settled = refreshed(TOLD, lease=lease, now=now, refresh_token=None, expires_at=now + HOUR)
    assert types(settled) == [EventType.REFRESHED, EventType.EXPIRING]
    told = settled.happenings[-1]
    assert (told.reason, told.ends_at) == ("refresh_token", END)
    assert settled.standing.lease.tell_at == END - DAY


def test_what_was_settled_before_is_not_told_again() -> None:
    lease, now = told_at(None, END - 7 * DAY), END - 6 * DAY
    standing, attempt = a_standing(credential=TOLD, lease=lease), an_attempt(sent_at=now)
    verdict = granted(refresh_token=None, expires_at=now + HOUR)
    first = settle(standing, attempt, verdict, now=now, rules=STRICT)
    assert EventType.EXPIRING in types(first)
    assert types(settle(first.standing, attempt, verdict, now=now, rules=STRICT)) == []


def test_an_end_that_the_refresh_moves_is_not_told() -> None:
    now = END - 6 * DAY
    settled = refreshed(
        TOLD,
        lease=told_at(None, END - 7 * DAY),
        now=now,
        expires_at=now + HOUR,
        refresh_token_expires_at=now + 30 * DAY,
    )
    assert types(settled) == [EventType.REFRESHED]
    assert settled.standing.lease.tell_at == now + 23 * DAY


@pytest.mark.parametrize(
    "verdict", [NotSent(FailureReason.TIMEOUT), Unavailable(FailureReason.TIMEOUT, maybe_spent=False)]
)
def test_a_refresh_that_fails_does_not_show_whether_the_end_moves(verdict: NotSent | Unavailable) -> None:
    now = END - 6 * DAY
    standing = a_standing(credential=TOLD, lease=told_at(None, END - 7 * DAY))
    settled = settle(standing, an_attempt(), verdict, now=now, rules=STRICT)
    assert EventType.EXPIRING not in types(settled)
    assert settled.standing.lease.tell_at == END - 7 * DAY


def test_a_refresh_that_is_far_away_is_drawn_forward_to_the_next_stage() -> None:
    settled = refreshed(expires_at=NOW + 60 * DAY, refresh_token_expires_at=NOW + 90 * DAY)
    at = settled.standing.lease.next_refresh_at
    assert at is not None
    assert at <= NOW + 60 * DAY
    stands = refreshed(
        {"refresh_token_expires_at": END, "expires_at": NOW + DAY},
        lease=told_at(None, END - 7 * DAY),
        refresh_token=None,
        expires_at=NOW + 90 * DAY,
    )
    assert stands.standing.lease.next_refresh_at == stands.standing.lease.due_at == END - 7 * DAY


def test_an_account_that_is_off_tells_nothing_and_forgets_nothing() -> None:
    off = an_account().turned_off(DisabledReason.BY_OPERATOR, detail=None, at=NOW, by="key_1")
    lease = told_at({"next_refresh_at": None}, END - 7 * DAY)
    standing, now = a_standing(account=off, credential=TOLD, lease=lease), END - 6 * DAY
    settled = settle(standing, an_attempt(), granted(refresh_token=None), now=now, rules=STRICT)
    assert types(settled) == [EventType.REFRESHED]
    assert settled.standing.lease.tell_at == END - 7 * DAY
    assert end_or_tell(replace(standing, lease=replace(standing.lease, **IDLE)), now=now) is None


def spent(now: datetime = NOW, **lease: Any) -> Standing:
    """An active account without a refresh token, whose access token lives for 60 days from NOW."""
    credential = {"refreshable": False, "obtained_at": NOW, "expires_at": NOW + 60 * DAY}
    standing = a_standing(credential=credential, lease={**IDLE, "next_refresh_at": None, **lease})
    return replace(standing, lease=first_scheduled(standing, now=now, policy=POLICY))


def test_credentials_that_cannot_be_refreshed_are_told_of_twice_and_then_disabled() -> None:
    standing = spent()
    seen: list[tuple[datetime, list[EventType]]] = []
    while standing.lease.due_at is not None:
        now = standing.lease.due_at
        settled = end_or_tell(standing, now=now)
        assert settled is not None
        seen.append((now, types(settled)))
        standing = settled.standing
    end = NOW + 60 * DAY
    expected = [(end - 7 * DAY, EventType.EXPIRING), (end - DAY, EventType.EXPIRING), (end, EventType.DISABLED)]
    assert seen == [(moment, [told]) for moment, told in expected]
    assert standing.account.disabled is not None
    assert standing.account.disabled.reason is DisabledReason.EXPIRED


def test_a_look_that_comes_too_early_puts_the_next_one_right() -> None:
    standing = spent()
    early = replace(standing, lease=replace(standing.lease, due_at=NOW))
    looked_at = end_or_tell(early, now=NOW)
    assert looked_at is not None
    assert types(looked_at) == []
    assert looked_at.standing == standing
    assert end_or_tell(standing, now=NOW) is None


def test_an_account_that_is_switched_on_again_is_told_what_it_was_not_told_yet_and_no_more() -> None:
    standing = spent()
    first = end_or_tell(standing, now=NOW + 53 * DAY)
    assert first is not None
    off = disable(first.standing, DisabledReason.BY_OPERATOR, by="key_1", now=NOW + 54 * DAY)
    assert off is not None
    assert off.standing.lease.due_at is None
    on = enable(off.standing, now=NOW + 55 * DAY)
    assert isinstance(on, Settlement)
    assert types(on) == [EventType.ENABLED]
    assert on.standing.lease.due_at == NOW + 59 * DAY
    late = enable(off.standing, now=NOW + 59 * DAY + HOUR)
    assert isinstance(late, Settlement)
    assert types(end_or_tell(late.standing, now=NOW + 59 * DAY + HOUR)) == [EventType.EXPIRING]


def test_switching_on_keeps_an_idle_refresh_token_alive_and_leaves_an_endless_one_alone() -> None:
    off = an_account().turned_off(DisabledReason.BY_OPERATOR, detail=None, at=NOW, by="key_1")
    lease = {**IDLE, "next_refresh_at": None, "due_at": None}
    standing = a_standing(account=off, credential={"expires_at": None}, lease=lease)
    on = enable(standing, now=NOW, idle_life=14 * DAY)
    assert isinstance(on, Settlement)
    assert on.standing.lease.next_refresh_at == on.standing.lease.due_at == NOW
    alone = enable(standing, now=NOW)
    assert isinstance(alone, Settlement)
    assert (alone.standing.lease.next_refresh_at, alone.standing.lease.due_at) == (None, None)
    doubtful = enable(replace(standing, lease=replace(standing.lease, doubts=1)), now=NOW, idle_life=HOUR)
    assert isinstance(doubtful, Settlement)
    assert doubtful.standing.lease.next_refresh_at == NOW + timedelta(minutes=9)


@pytest.mark.parametrize(
    ("expires_at", "derived", "due"),
    [
        (NOW + DAY, False, NOW + DAY),
        (NOW - HOUR, False, NOW),
        (NOW + DAY, True, NOW),
        (None, False, None),
        (None, True, NOW),
    ],
)
def test_switching_on_spends_no_refresh_token_that_is_said_to_have_ended_while_its_access_token_lives(
    expires_at: datetime | None, due: datetime | None, *, derived: bool
) -> None:
    off = an_account().turned_off(DisabledReason.BY_OPERATOR, detail=None, at=NOW, by="key_1")
    ended = {
        "expires_at": expires_at,
        "refresh_token_expires_at": NOW - timedelta(minutes=1),
        "refresh_end_derived": derived,
    }
    standing = a_standing(account=off, credential=ended, lease={**IDLE, "next_refresh_at": None, "due_at": None})
    on = enable(standing, now=NOW, idle_life=14 * DAY)
    assert isinstance(on, Settlement)
    assert on.standing.lease.next_refresh_at == on.standing.lease.due_at == due


def first_lease(idle_life: timedelta | None = None, **credential: Any) -> Any:
    standing = a_standing(lease=IDLE, credential={"obtained_at": NOW, **credential})
    return first_scheduled(standing, now=NOW, policy=POLICY, idle_life=idle_life)


def test_an_account_that_comes_in_is_scheduled_for_the_first_of_its_ends() -> None:
    idle = first_lease(14 * DAY, expires_at=NOW + 60 * DAY)
    assert NOW + 11 * DAY < idle.next_refresh_at < NOW + 14 * DAY
    staged = first_lease(expires_at=NOW + 90 * DAY, refresh_token_expires_at=NOW + 30 * DAY)
    assert staged.tell_at == NOW + 23 * DAY
    assert staged.next_refresh_at == staged.due_at <= NOW + 23 * DAY
    ended = first_lease(expires_at=NOW + DAY, refresh_token_expires_at=NOW - DAY)
    assert ended.next_refresh_at == ended.due_at == NOW + DAY
    outlived = first_lease(expires_at=NOW - HOUR, refresh_token_expires_at=NOW - DAY)
    assert outlived.next_refresh_at == NOW


def test_a_new_authorisation_starts_afresh() -> None:
    tokens = TokenSet(
        Secret("access"), refresh_token=Secret("refresh"), expires_at=NOW + 60 * DAY, refresh_token_expires_at=END
    )
    before = a_standing(credential=TOLD, lease={"watched_end": END, "tell_at": None})

    def on(tokens: TokenSet) -> Standing:
        return reauthorize(
            before.account, before.lease, before.credential, tokens, now=NOW, policy=POLICY, idle_life=10 * DAY
        ).standing

    again = on(tokens)
    assert (again.lease.watched_end, again.lease.tell_at) == (END, END - 7 * DAY)
    assert again.lease.next_refresh_at is not None
    assert again.lease.next_refresh_at < NOW + 10 * DAY
    assert on(replace(tokens, refresh_end_derived=True)).credential.refresh_end_derived
    endless = on(TokenSet(Secret("access"))).lease
    assert (endless.watched_end, endless.tell_at, endless.due_at) == (None, None, None)


def test_an_orphan_brings_its_own_end_with_what_is_known_of_it() -> None:
    tokens = TokenSet(Secret("access"), refresh_token=Secret("orphan"), **DERIVED)
    bearing = Circumstances(orphan=Orphan(an_attempt().id, tokens))
    settled = settle(a_standing(), an_attempt(), REVOKED, now=NOW, rules=STRICT, circumstances=bearing)
    assert settled.tried is not None
    credential = settled.standing.credential
    assert (credential.refresh_token_expires_at, credential.refresh_end_derived) == (END, True)


def test_a_token_in_doubt_is_probed_before_it_dies_idle() -> None:
    rules = replace(STRICT, idle_life=timedelta(minutes=60))
    lives_on = {"expires_at": NOW + 60 * DAY}
    patient = take_over(a_standing(credential=lives_on), now=NOW + timedelta(minutes=2), rules=STRICT)
    assert patient.standing.lease.next_refresh_at == NOW + timedelta(minutes=15)
    hurried = take_over(a_standing(credential=lives_on), now=NOW + timedelta(minutes=2), rules=rules)
    assert hurried.standing.lease.next_refresh_at == NOW + timedelta(minutes=9)
