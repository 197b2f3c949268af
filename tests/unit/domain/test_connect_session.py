"""How long a connect session lasts, and whose grant it may bring."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from domain_examples import NOW, an_account
from tokenkeep.domain.connect_session import (
    LONGEST_LIFE,
    SESSION_LIFE,
    ConnectFailure,
    ConnectSession,
    SessionState,
    StoredState,
    failure_of,
    refuse_identity,
)
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.ids import AccountId, SessionId, SourceId

ENDS = NOW + SESSION_LIFE
SESSION = ConnectSession(
    id=SessionId(UUID(int=1)),
    environment="default",
    source_id=SourceId(UUID(int=2)),
    account_id=None,
    created_by="key_1",
    external_id=None,
    metadata={},
    properties={},
    scopes=None,
    return_url=None,
    state=StoredState.OPEN,
    failure=None,
    created_at=NOW,
    expires_at=ENDS,
)
FAILED = replace(SESSION, state=StoredState.FAILED, failure=ConnectFailure.ACCESS_DENIED)
CONNECTED = replace(SESSION, state=StoredState.CONNECTED, account_id=AccountId(UUID(int=3)))


@pytest.mark.parametrize(
    ("session", "after", "state", "admits"),
    [
        (SESSION, timedelta(0), SessionState.OPEN, True),
        (SESSION, SESSION_LIFE, SessionState.EXPIRED, False),
        (FAILED, timedelta(0), SessionState.FAILED, True),
        (FAILED, SESSION_LIFE, SessionState.FAILED, False),
        (CONNECTED, timedelta(0), SessionState.CONNECTED, False),
        (CONNECTED, SESSION_LIFE, SessionState.CONNECTED, False),
    ],
)
def test_a_session_is_open_for_its_time_and_a_failed_one_can_be_tried_again(
    session: ConnectSession, after: timedelta, state: SessionState, *, admits: bool
) -> None:
    assert session.state_at(NOW + after) is state
    assert session.admits(NOW + after) is admits


def test_whoever_begins_late_still_has_their_time_but_not_without_end() -> None:
    late = ENDS - timedelta(seconds=1)
    assert SESSION.expiry_once_begun(NOW) == ENDS
    assert SESSION.expiry_once_begun(late) == late + SESSION_LIFE
    assert SESSION.expiry_once_begun(NOW + LONGEST_LIFE) == NOW + LONGEST_LIFE


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ("access_denied", ConnectFailure.ACCESS_DENIED),
        ("temporarily_unavailable", ConnectFailure.PROVIDER_UNAVAILABLE),
        ("invalid_scope", ConnectFailure.MISCONFIGURED),
        ("unauthorized_client", ConnectFailure.MISCONFIGURED),
        ("server_error", ConnectFailure.PROVIDER_ERROR),
        ("login_required", ConnectFailure.PROVIDER_ERROR),
        (None, ConnectFailure.PROVIDER_ERROR),
    ],
)
def test_a_providers_error_is_the_users_the_providers_or_the_developers(
    error: str | None, failure: ConnectFailure
) -> None:
    assert failure_of(error) is failure


def test_where_an_identity_is_verified_the_same_must_be_told() -> None:
    verified = an_account(external_id="a", external_id_verified=True, external_id_kind="sub")
    assert refuse_identity(verified, (ExternalId("b", "sub"),)) is ConnectFailure.IDENTITY_MISMATCH
    assert refuse_identity(verified, (ExternalId("a", "sub"),)) is None
    assert refuse_identity(verified, ()) is ConnectFailure.IDENTITY_UNKNOWN
    assert refuse_identity(an_account(external_id="a"), ()) is None
    assert refuse_identity(an_account(external_id="a"), (ExternalId("b", "sub"),)) is None


def test_an_id_of_another_kind_may_be_anybodys() -> None:
    verified = an_account(external_id="a", external_id_verified=True, external_id_kind="sub")
    mail = ExternalId("a", "email")
    assert refuse_identity(verified, (mail,)) is ConnectFailure.IDENTITY_UNKNOWN
    assert refuse_identity(verified, (mail, ExternalId("a", "sub"))) is None
    assert refuse_identity(verified, (mail, ExternalId("b", "sub"))) is ConnectFailure.IDENTITY_MISMATCH
