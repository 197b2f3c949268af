"""How a source pauses, is tried, and goes on."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain_examples import HOUR, NOW
from tokenkeep.domain.account import AuthType, FailureReason
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import AccountId, IdKind, SourceId
from tokenkeep.domain.source import BY_OPERATOR, MASS_REVOCATION, ROLLBACK, Source, SourceState
from tokenkeep.domain.source_changes import (
    is_client_fault,
    pause,
    picked,
    prove,
    proven,
    rest_after,
    resume,
    source_event,
)

ACCOUNT = AccountId(UUID(int=1))
DECIDED = [BY_OPERATOR, MASS_REVOCATION, ROLLBACK]
CLIENT_FAULT = FailureReason.INVALID_CLIENT.value


def a_source(**changes: Any) -> Source:
    source = Source(
        id=SourceId(UUID(int=2)),
        environment="default",
        provider="generic-oauth2",
        name="books",
        auth_type=AuthType.OAUTH2,
        client_id="client",
        scopes=(),
        options={},
        state=SourceState.ACTIVE,
        paused_reason=None,
        secret_version=1,
        created_at=NOW - HOUR,
        updated_at=NOW - HOUR,
    )
    return replace(source, **changes)


@pytest.mark.parametrize("reason", [one.value for one in FailureReason])
def test_whatever_a_provider_says_of_the_client_is_the_clients_fault(reason: str) -> None:
    assert is_client_fault(reason)


@pytest.mark.parametrize("reason", [None, *DECIDED])
def test_what_a_person_decides_is_no_clients_fault(reason: str | None) -> None:
    assert not is_client_fault(reason)


def test_a_pause_over_the_client_is_probed_half_a_minute_later() -> None:
    paused = pause(a_source(), CLIENT_FAULT, now=NOW)
    assert (paused.state, paused.paused_reason, paused.paused_at) == (SourceState.PAUSED, CLIENT_FAULT, NOW)
    assert paused.probe_at == NOW + timedelta(seconds=30)
    assert paused.probe_account_id is None
    assert not paused.admits_all


@pytest.mark.parametrize("reason", DECIDED)
def test_a_pause_that_a_person_ends_sends_nothing(reason: str) -> None:
    proving = a_source(proving=True, probe_account_id=ACCOUNT, probe_at=NOW, probes=3)
    paused = pause(proving, reason, now=NOW)
    assert (paused.probe_at, paused.probe_account_id, paused.probes) == (None, None, 0)


def test_another_reason_for_a_pause_does_not_make_it_younger() -> None:
    paused = pause(a_source(), CLIENT_FAULT, now=NOW - HOUR)
    again = pause(paused, BY_OPERATOR, now=NOW)
    assert (again.paused_reason, again.paused_at, again.probe_at) == (BY_OPERATOR, NOW - HOUR, None)


@pytest.mark.parametrize("reason", DECIDED)
def test_a_resumed_source_admits_everybody(reason: str) -> None:
    resumed = resume(pause(a_source(), reason, now=NOW - HOUR), now=NOW)
    assert resumed == a_source(updated_at=NOW, rollback_accepted_at=NOW if reason == ROLLBACK else None)
    assert resumed.admits_all


def test_after_the_clients_faults_one_account_goes_first() -> None:
    resumed = resume(pause(a_source(), CLIENT_FAULT, now=NOW - HOUR), now=NOW)
    assert resumed.state is SourceState.ACTIVE
    assert not resumed.admits_all
    assert resumed.probe_at == NOW
    assert proven(resumed).admits_all


def test_an_accepted_rollback_stays_accepted() -> None:
    accepted = a_source(rollback_accepted_at=NOW - HOUR)
    assert resume(pause(accepted, BY_OPERATOR, now=NOW), now=NOW).rollback_accepted_at == NOW - HOUR


def test_a_changed_client_is_tried_at_once_with_one_account() -> None:
    changed, told = prove(a_source(), now=NOW)
    assert told is None
    assert (changed.proving, changed.probe_at, changed.probes) == (True, NOW, 0)
    assert not changed.admits_all
    assert proven(changed) == a_source(updated_at=NOW)


def test_a_new_secret_ends_a_pause_over_the_client_and_is_proven_first() -> None:
    changed, told = prove(pause(a_source(), CLIENT_FAULT, now=NOW - HOUR), now=NOW, new_secret=True)
    assert told is EventType.SOURCE_RESUMED
    assert (changed.state, changed.proving, changed.probe_at) == (SourceState.ACTIVE, True, NOW)


def test_another_change_of_the_client_is_tried_within_the_pause() -> None:
    changed, told = prove(pause(a_source(), CLIENT_FAULT, now=NOW - HOUR), now=NOW)
    assert told is None
    assert (changed.state, changed.proving, changed.probe_at) == (SourceState.PAUSED, True, NOW)


@pytest.mark.parametrize("reason", DECIDED)
def test_a_new_secret_does_not_end_a_pause_that_a_person_ends_but_is_proven_after_it(reason: str) -> None:
    paused = pause(a_source(), reason, now=NOW - HOUR)
    changed, told = prove(paused, now=NOW, new_secret=True)
    assert told is None
    assert (changed.state, changed.probe_at) == (SourceState.PAUSED, None)
    resumed = resume(changed, now=NOW)
    assert (resumed.admits_all, resumed.probe_at) == (False, NOW)


@pytest.mark.parametrize(
    ("proving", "rests"),
    [(False, [60, 120, 240, 480, 900, 900]), (True, [2, 5, 30, 60, 60, 60])],
)
def test_the_rests_between_picks_grow(*, proving: bool, rests: list[float]) -> None:
    source, seen = a_source(proving=proving), []
    for _ in rests:
        source = picked(source, ACCOUNT, now=NOW)
        assert source.probe_at is not None
        seen.append((source.probe_at - NOW).total_seconds())
    assert seen == rests
    assert (source.probes, source.probe_account_id) == (len(rests), ACCOUNT)


@pytest.mark.parametrize(("proving", "rest"), [(True, 5), (False, 30)])
def test_when_there_is_nobody_to_try_the_next_look_is_soon_however_often(*, proving: bool, rest: float) -> None:
    source = picked(a_source(proving=proving, probes=9), None, now=NOW)
    assert source.probe_at == NOW + timedelta(seconds=rest)
    assert (source.probe_account_id, source.probes) == (None, 9)


def test_no_number_of_picks_is_too_large() -> None:
    assert rest_after(10_000, proving=False) == timedelta(minutes=15)
    assert rest_after(10_000, proving=True) == timedelta(minutes=1)


def test_the_event_tells_the_source_as_it_stands() -> None:
    paused = pause(a_source(), MASS_REVOCATION, now=NOW)
    event = source_event(paused, EventType.SOURCE_PAUSED, sequence=3, now=NOW, correlation_id="cor_1")
    assert (event.subject, event.subject_kind, event.sequence) == (paused.id, IdKind.SOURCE, 3)
    assert (event.data["state"], event.data["reason"]) == ("paused", "mass_revocation")
    assert "reason" not in source_event(a_source(), EventType.SOURCE_RESUMED, sequence=4, now=NOW).data
