"""What is kept of a grant until its provider has been told to revoke it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.keep_credentials import fingerprint
from tokenkeep.application.revocation_sealing import GrantTokens, sealed_revocation
from tokenkeep.application.revocations import NewRevocation
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.domain.errors import VaultError
from tokenkeep.domain.ids import AccountId, SourceId, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.entry import Presented
from tokenkeep.providers.revocation_way import RevocationWay, TokenKind
from tokenkeep.providers.rules import OAuth2Rules

SEALER = TokenSealer(Vault(Keyring.generate()))
ACCOUNT, SOURCE = AccountId(new_id()), SourceId(new_id())
KEY = SEALER.vault.new_data_key(ACCOUNT)
ENDS_AT = datetime(2026, 5, 1, tzinfo=UTC)
STANDARD = OAuth2Rules("https://a.test/t", "https://a.test/t", revocation=RevocationWay("https://a.test/r"))
BEARER = RevocationWay("https://a.test/r", by_client=False, header=("authorization", "Bearer {access_token}"))
IN_PATH = RevocationWay("https://a.test/{refresh_token}", by_client=False)


def sealed(rules: OAuth2Rules, refresh: str | None = "refresh") -> NewRevocation | None:
    tokens = GrantTokens(Secret("access"), None if refresh is None else Secret(refresh), ENDS_AT)
    return sealed_revocation(SEALER, rules, (ACCOUNT, SOURCE), KEY, tokens, properties={})


def opened(wanted: NewRevocation) -> dict[TokenKind, str]:
    ciphertexts = {TokenKind.REFRESH: wanted.refresh_ciphertext, TokenKind.ACCESS: wanted.access_ciphertext}
    return {
        kind: SEALER.open_revocation(ACCOUNT, KEY, kind, ciphertext).reveal()
        for kind, ciphertext in ciphertexts.items()
        if ciphertext is not None
    }


@pytest.mark.parametrize(
    ("changes", "refresh", "kept", "known_by", "ends_at"),
    [
        ({}, "refresh", {TokenKind.REFRESH: "refresh"}, "refresh", ENDS_AT),
        ({}, None, {TokenKind.ACCESS: "access"}, "access", None),
        ({"revocation": BEARER}, "refresh", {TokenKind.ACCESS: "access"}, "refresh", ENDS_AT),
        ({"revocation": BEARER}, None, {TokenKind.ACCESS: "access"}, "access", None),
        ({"revocation": IN_PATH}, "refresh", {TokenKind.REFRESH: "refresh"}, "refresh", ENDS_AT),
        ({"presented": Presented.ACCESS_TOKEN}, "access", {TokenKind.ACCESS: "access"}, "access", None),
    ],
)
def test_only_what_the_way_takes_is_kept(
    changes: dict[str, Any],
    refresh: str | None,
    kept: dict[TokenKind, str],
    known_by: str,
    ends_at: datetime | None,
) -> None:
    wanted = sealed(replace(STANDARD, **changes), refresh)
    assert wanted is not None
    assert opened(wanted) == kept
    assert wanted.fingerprint == fingerprint(Secret(known_by))
    assert wanted.access_fingerprint == fingerprint(Secret("access"))
    assert wanted.access_ends_at == ends_at


@pytest.mark.parametrize("revocation", [None, IN_PATH])
def test_without_a_way_nothing_is_kept(revocation: RevocationWay | None) -> None:
    assert sealed(replace(STANDARD, revocation=revocation), None) is None


def test_one_kind_of_token_does_not_open_as_the_other() -> None:
    wanted = sealed(STANDARD)
    assert wanted is not None
    assert wanted.refresh_ciphertext is not None
    with pytest.raises(VaultError):
        SEALER.open_revocation(ACCOUNT, KEY, TokenKind.ACCESS, wanted.refresh_ciphertext)
