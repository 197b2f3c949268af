"""Connect sessions as they are stored, and what the steps of the flow share."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

from tokenkeep.domain.account import Account
from tokenkeep.domain.connect_session import ConnectFailure, ConnectSession
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, SessionId
from tokenkeep.domain.secret import Secret

VERIFIER = "code_verifier"
"""The field under which PKCE's verifier is sealed, for its session."""
TEMPORARY = "temporary_credentials"
"""The field under which OAuth 1.0a's temporary credentials are sealed there."""
VERIFIER_VERSION = (1, 0)
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class SealedVerifier:
    """What ends what a session has begun, sealed for it: PKCE's verifier, or temporary credentials of OAuth 1.0a."""

    key: SealedKey
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class BegunSession:
    """A session whose user is at the provider, under its row lock: what must fit when they come back."""

    session: ConnectSession
    browser_hash: bytes
    verifier: SealedVerifier | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Redemption:
    """Whether somebody came with a session's result, and whether somebody had before."""

    fits: bool
    redeemed: bool


@dataclass(frozen=True, slots=True)
class Grant:
    """An account, its source's client and options, and the number of its present grant, at one moment."""

    account: Account
    client_id: str | None
    options: Mapping[str, Any]
    epoch: int
    now: datetime

    @property
    def provider(self) -> str:
        """The slug of the source's provider."""
        return self.account.provider


class ConnectSessions(Protocol):
    """Sessions in one transaction. `by_state`, `lock` and `redemption` lock the row until it ends, and so does `by_link`."""

    async def add(self, session: ConnectSession, link_hash: bytes) -> None: ...

    async def get(self, session_id: SessionId, environment: str) -> ConnectSession | None: ...

    async def by_link(self, link_hash: bytes) -> ConnectSession | None: ...

    async def open_of(self, account_id: AccountId, *, created_by: str, until: datetime) -> ConnectSession | None: ...

    async def prolong(self, session_id: SessionId, expires_at: datetime) -> None: ...

    async def reopen(self, session_id: SessionId) -> None: ...

    async def begin(
        self,
        session: ConnectSession,
        *,
        state_hash: bytes,
        browser_hash: bytes,
        verifier: SealedVerifier | None,
    ) -> None: ...

    async def by_state(self, state_hash: bytes) -> BegunSession | None: ...

    async def take(self, session_id: SessionId) -> None: ...

    async def lock(self, session_id: SessionId) -> ConnectSession | None: ...

    async def fail(self, session_id: SessionId, failure: ConnectFailure) -> None: ...

    async def finish(self, session_id: SessionId, account_id: AccountId, result_hash: bytes) -> None: ...

    async def redemption(self, session_id: SessionId, result_hash: bytes) -> Redemption: ...

    async def redeem(self, session_id: SessionId) -> None: ...


class Grants(Protocol):
    """Reads an account with the number of its present grant, of whatever environment. Takes no lock."""

    async def __call__(self, account_id: AccountId) -> Grant | None: ...


def new_token() -> Secret:
    """256 random bits, fit for an address."""
    return Secret(secrets.token_urlsafe(_TOKEN_BYTES))


def hashed(token: Secret) -> bytes:
    """The SHA-256 of a token, by which it is stored and found: too random to be guessed from it."""
    return sha256(token.reveal().encode(errors="surrogatepass")).digest()
