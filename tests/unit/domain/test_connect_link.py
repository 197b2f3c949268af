"""Durable links to one grant of one account."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain_examples import NOW, an_account
from tokenkeep.application.telling import number_events
from tokenkeep.domain.account import Account, AccountState, Disabled, DisabledReason
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.connect_link import LINK_LIFE, LinkMaker, calls_for_link, may_reconnect
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.events import EventType, Happening, cloudevent
from tokenkeep.domain.ids import AccountId, SessionId
from tokenkeep.domain.lease import Lease
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.standing import Settlement, Standing

ACCOUNT = AccountId(UUID(int=1))
LINKS = LinkMaker("https://tokens.example", Secret("ab" * 32))


def key_of(url: str) -> str:
    return url.rpartition("?key=")[2]


def disabled(reason: DisabledReason) -> Account:
    return an_account(state=AccountState.DISABLED, disabled=Disabled(reason, None, NOW, "tokenkeep"))


def opens(key: str, **changes: Any) -> bool:
    given = {"account_id": ACCOUNT, "epoch": 3, "now": NOW, "links": LINKS, **changes}
    links: LinkMaker = given["links"]
    return links.opens(given["account_id"], key, epoch=given["epoch"], now=given["now"])


def test_a_link_opens_for_its_grant_of_its_account_until_its_time_is_over() -> None:
    url = LINKS.url(ACCOUNT, epoch=3, now=NOW)
    assert url.startswith(f"https://tokens.example/connect/accounts/acc_{ACCOUNT.hex}?key=")
    key = key_of(url)
    assert opens(key)
    assert opens(key, now=NOW + LINK_LIFE - timedelta(seconds=1))
    assert not opens(key, now=NOW + LINK_LIFE)
    assert not opens(key, epoch=4)
    assert not opens(key, account_id=AccountId(UUID(int=2)))
    assert not opens(key, links=LinkMaker("https://tokens.example", Secret("cd" * 32)))


@pytest.mark.parametrize("slip", ["", ".", "x", "0.", "99999999999.x", "٣.x"])
def test_what_is_no_key_opens_nothing(slip: str) -> None:
    assert not opens(slip)


def test_a_key_has_one_spelling_and_its_end_can_not_be_moved() -> None:
    until, _, mac = key_of(LINKS.url(ACCOUNT, epoch=3, now=NOW)).partition(".")
    assert not opens(f"{int(until) + 1}.{mac}")
    assert not opens(f"0{until}.{mac}")
    assert not opens(f"{until}.{mac}=")
    others = [
        f"{until}.{mac[:-1]}{last}" for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    ]
    assert sum(opens(other) for other in others) == 1


def test_the_token_of_a_links_session_is_told_by_its_id_and_is_no_key() -> None:
    one, two = (LINKS.session_token(SessionId(UUID(int=number))) for number in (1, 2))
    assert one == LINKS.session_token(SessionId(UUID(int=1)))
    assert one != two
    assert len(one.reveal()) == 43


def test_the_key_of_the_links_is_never_shown() -> None:
    assert "abab" not in repr(LINKS)


@pytest.mark.parametrize("reason", list(DisabledReason))
def test_the_end_user_lifts_what_came_of_their_grant_and_not_what_an_operator_did(reason: DisabledReason) -> None:
    account = disabled(reason)
    kept_off = reason in {DisabledReason.BY_OPERATOR, DisabledReason.SOURCE_DELETED}
    assert may_reconnect(account) is not kept_off
    assert calls_for_link(Happening(EventType.DISABLED, reason.value), account) is reason.needs_reauthorization


def test_an_active_account_may_be_reconnected() -> None:
    assert may_reconnect(an_account())


@pytest.mark.parametrize("event_type", list(EventType))
def test_of_an_active_account_only_trouble_calls_for_a_link(event_type: EventType) -> None:
    expected = event_type in {EventType.FAILING, "tokenkeep.account.expiring"}
    assert calls_for_link(Happening(event_type), an_account()) is expected


def test_events_carry_a_link_to_the_grant_that_they_tell_of() -> None:
    credential = CredentialVersion(3, 1, 0, NOW, None, None, refreshable=True)
    standing = Standing(an_account(), Lease(fence=1, epoch=3), credential)
    happenings = (Happening(EventType.FAILING, "timeout"), Happening(EventType.REFRESHED))
    settlement = Settlement(standing, Outcome.OK, happenings=happenings)
    _, (failing, refreshed) = number_events(settlement, now=NOW, correlation_id=None, links=LINKS)
    assert opens(key_of(failing.data["connect_url"]))
    assert "connect_url" not in refreshed.data
    assert list(cloudevent(failing)["data"])[-2:] == ["reason", "connect_url"]
    _, (unlinked, _) = number_events(settlement, now=NOW, correlation_id=None)
    assert "connect_url" not in unlinked.data
