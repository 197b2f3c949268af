"""What follows for an account from what its provider said of its credentials."""

from dataclasses import replace

import pytest

from domain_examples import NOW, a_standing, an_account
from tokenkeep.domain.account import Account, DisabledReason, FailureReason, Health, LastError, VerificationResult
from tokenkeep.domain.errors import ExternalIdMismatch
from tokenkeep.domain.events import EventType
from tokenkeep.domain.external_id import ExternalId, Likeness, likeness
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.standing import Standing
from tokenkeep.domain.verification import (
    Confirmed,
    Rejected,
    Unknown,
    UnknownReason,
    adopted,
    is_another,
    recorded,
    settle_finding,
    settled_external_id,
)

SUB_A, SUB_B = ExternalId("a", "sub"), ExternalId("b", "sub")
VERIFIED = an_account(external_id="a", external_id_verified=True, external_id_kind="sub")
REJECTED = Rejected("invalid_token", 401)
TIMEOUT = Unknown(UnknownReason.TIMEOUT)
IDLE = {"phase": Phase.IDLE, "attempt_id": None, "lease_until": None, "next_refresh_at": None, "due_at": None}


def a_static(account: Account | None = None) -> Standing:
    """An account that can't be refreshed."""
    standing = a_standing(account=account or an_account(), lease=IDLE)
    return replace(standing, credential=replace(standing.credential, refreshable=False))


def test_what_the_provider_tells_is_the_accounts_id_and_verified() -> None:
    assert settled_external_id(None, SUB_A) == (SUB_A, True)
    assert settled_external_id("a", SUB_A) == (SUB_A, True)
    assert settled_external_id("a", None) == (ExternalId("a"), False)
    assert settled_external_id(None, None) == (None, False)
    with pytest.raises(ExternalIdMismatch):
        settled_external_id("a", SUB_B)


@pytest.mark.parametrize(
    ("known", "told", "how"),
    [
        (SUB_A, (SUB_A,), Likeness.SAME),
        (SUB_A, (SUB_B,), Likeness.ANOTHER),
        (SUB_A, (), Likeness.UNTOLD),
        (SUB_A, (ExternalId("a", "email"),), Likeness.UNTOLD),
        (SUB_A, (ExternalId("b", "email"), SUB_A), Likeness.SAME),
        (SUB_A, (ExternalId("a", "email"), SUB_B), Likeness.ANOTHER),
        (ExternalId("a"), (SUB_A,), Likeness.SAME),
        (ExternalId("a"), (SUB_B, SUB_A), Likeness.ANOTHER),
        (ExternalId("a"), (), Likeness.UNTOLD),
    ],
)
def test_only_ids_of_one_kind_are_compared(known: ExternalId, told: tuple[ExternalId, ...], how: Likeness) -> None:
    assert likeness(known, told) is how


def test_only_an_id_that_nobody_has_given_is_filled_in() -> None:
    nameless, given = an_account(external_id=None), an_account(external_id="a")
    assert adopted(nameless, (SUB_B,), own=False) == SUB_B
    assert adopted(given, (SUB_A,), own=False) == SUB_A
    assert adopted(given, (SUB_B,), own=True) is None
    assert adopted(nameless, (), own=True) is None
    assert [is_another(it, (SUB_B,)) for it in (nameless, given, VERIFIED)] == [False, True, True]
    assert not is_another(given, ())


def test_an_id_of_another_kind_takes_its_place_if_it_is_surely_the_same_persons() -> None:
    mail = ExternalId("a@b.example", "email")
    assert adopted(VERIFIED, (SUB_A,), own=True) is None, "it has it"
    assert adopted(VERIFIED, (SUB_B,), own=True) is None
    assert adopted(VERIFIED, (mail,), own=False) is None
    assert adopted(VERIFIED, (mail,), own=True) == mail
    assert adopted(VERIFIED, (mail, SUB_A), own=False) == mail
    assert adopted(VERIFIED, (mail, SUB_B), own=True) is None
    before = an_account(external_id="a", external_id_verified=True)
    assert adopted(before, (SUB_A,), own=False) == SUB_A, "its kind is known from now on"
    assert not is_another(VERIFIED, (mail,))


def test_an_account_stays_its_owners_whoevers_its_credentials_are() -> None:
    unknown = VERIFIED.unverified()
    assert (unknown.external_id_verified, unknown.owner) == (False, SUB_A)
    assert is_another(unknown, (SUB_B,))
    assert adopted(unknown, (SUB_A,), own=False) == SUB_A
    assert adopted(unknown, (SUB_B,), own=True) is None
    before = an_account(external_id="a", external_id_verified=True).unverified()
    assert before.owner == ExternalId("a")
    assert before.unverified() == before
    assert an_account(external_id="a").owner is None


def test_a_rejection_is_told_once_of_an_account_that_cannot_be_refreshed() -> None:
    failing = settle_finding(a_static(), REJECTED, now=NOW)
    assert failing is not None
    account = failing.standing.account
    assert account.health is Health.FAILING
    assert account.disabled is None
    assert account.last_error == LastError(FailureReason.PROVIDER_4XX, 401, NOW)
    assert [(one.type, one.reason) for one in failing.happenings] == [(EventType.FAILING, "provider_4xx")]
    again = settle_finding(failing.standing, REJECTED, now=NOW)
    assert again is not None
    assert again.happenings == ()


def test_a_confirmation_ends_it_and_silence_does_not() -> None:
    failing = settle_finding(a_static(), REJECTED, now=NOW)
    assert failing is not None
    assert settle_finding(failing.standing, TIMEOUT, now=NOW) is None
    sound = settle_finding(failing.standing, Confirmed("a"), now=NOW)
    assert sound is not None
    assert (sound.standing.account.health, sound.standing.account.last_error) == (Health.HEALTHY, None)
    assert [one.type for one in sound.happenings] == [EventType.RECOVERED]
    assert settle_finding(sound.standing, Confirmed("a"), now=NOW) is None


def test_of_an_account_that_can_be_refreshed_a_rejection_changes_nothing() -> None:
    assert settle_finding(a_standing(lease=IDLE), REJECTED, now=NOW) is None
    off = an_account().turned_off(DisabledReason.BY_OPERATOR, detail=None, at=NOW)
    assert settle_finding(a_static(off), REJECTED, now=NOW) is None


def test_a_finding_is_kept_in_a_word_and_a_code() -> None:
    kept = [recorded(one, at=NOW) for one in (Confirmed("a"), REJECTED, TIMEOUT)]
    assert [(one.result, one.code) for one in kept] == [
        (VerificationResult.CONFIRMED, None),
        (VerificationResult.REJECTED, "invalid_token"),
        (VerificationResult.UNKNOWN, "timeout"),
    ]
    assert recorded(Confirmed("a"), at=NOW, code="account_exists").code == "account_exists"
