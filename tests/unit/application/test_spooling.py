"""Answers sealed for the spool: everything comes back, and nothing secret lies open."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.refreshing import Answered, SourceConfig
from tokenkeep.application.spooling import open_answer, spool_answer
from tokenkeep.domain.attempt import Attempt, Trigger
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.errors import VaultError
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import Granted
from tokenkeep.providers.entry import Presented
from tokenkeep.providers.rules import OAuth2Rules

LATER = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FULL = TokenSet(
    access_token=Secret("canary-access \ud800"),
    token_type="DPoP",
    refresh_token=Secret("canary-refresh"),
    scopes=("a", "b"),
    expires_at=LATER,
    refresh_token_expires_at=LATER,
    refresh_end_derived=True,
)
BARE = TokenSet(access_token=Secret("canary-access"))
ENDLESS = TokenSet(access_token=Secret("canary-access"), refresh_endless=True)


@pytest.fixture
def vault() -> Vault:
    return Vault(Keyring.generate())


def answered(vault: Vault, tokens: TokenSet, presented: Secret | None) -> Answered:
    account_id = AccountId(uuid4())
    attempt = Attempt(AttemptId(uuid4()), account_id, 2, 7, 5, Trigger.SCHEDULE, "cor_1", LATER)
    key = vault.new_data_key(account_id)
    source = SourceConfig(SourceId(uuid4()), "default", "generic-oauth2", "client", key, None, 4, {}, paused=False)
    rules = OAuth2Rules(token_url="", refresh_url="")
    return Answered(
        attempt, Granted(tokens, 200), source, rules, presented, ("c",), key, 1, 3, properties={"shop": "one"}
    )


@pytest.mark.parametrize("tokens", [FULL, BARE, ENDLESS], ids=["full", "bare", "endless"])
@pytest.mark.parametrize("presented", [Secret("canary-presented"), None], ids=["presented", "none"])
def test_the_whole_answer_comes_back(vault: Vault, tokens: TokenSet, presented: Secret | None) -> None:
    given = answered(vault, tokens, presented)
    entry = spool_answer(vault, given)
    granted, again, _ = open_answer(vault, entry)
    assert granted == Granted(tokens, 200)
    assert again == presented
    assert (entry.attempt, entry.source_id, entry.secret_version) == (given.attempt, given.source.id, 4)
    assert (entry.scopes, entry.doubts, entry.presentations, entry.properties) == (("c",), 1, 3, {"shop": "one"})


@pytest.mark.parametrize("kind", list(Presented))
def test_what_was_presented_is_told_beside_it(vault: Vault, kind: Presented) -> None:
    given = answered(vault, BARE, Secret("canary-presented"))
    entry = spool_answer(vault, replace(given, rules=replace(given.rules, presented=kind)))
    assert open_answer(vault, entry) == (Granted(BARE, 200), Secret("canary-presented"), kind)


def test_no_token_can_be_seen_in_what_is_spooled(vault: Vault) -> None:
    entry = spool_answer(vault, answered(vault, FULL, Secret("canary-presented")))
    assert b"canary" not in entry.ciphertext
    assert "canary" not in repr(entry)
    assert entry.ciphertext.hex() not in repr(entry)


def test_what_was_altered_or_belongs_elsewhere_does_not_open(vault: Vault) -> None:
    entry = spool_answer(vault, answered(vault, FULL, None))
    attempt = entry.attempt
    for other in (
        replace(entry, ciphertext=entry.ciphertext[:-1] + bytes([entry.ciphertext[-1] ^ 1])),
        replace(entry, attempt=replace(attempt, fence=attempt.fence + 1)),
        replace(entry, attempt=replace(attempt, epoch=attempt.epoch + 1)),
        replace(entry, attempt=replace(attempt, account_id=AccountId(uuid4()))),
    ):
        with pytest.raises(VaultError):
            open_answer(vault, other)
    with pytest.raises(VaultError):
        open_answer(Vault(Keyring.generate()), entry)
