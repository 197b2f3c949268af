"""Sign in to the console, be recognised there, sign out.

The browser holds a random token, the database its hash, and beside it, sealed, the hash of the API key that was shown. At
each request the key is looked up again: one that is withdrawn, or has run out, ends its sessions at once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol
from uuid import UUID

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.connect_sessions import new_token
from tokenkeep.application.issue_api_key import hash_key
from tokenkeep.application.ports import Vault
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.errors import NotAuthenticated
from tokenkeep.domain.ids import new_id
from tokenkeep.domain.secret import Secret

LIFE: Final = timedelta(hours=8)
"""How long a session lasts, whatever is done in it: a working day."""

_KEY_HASH: Final = "console_key"
_VERSION: Final = (1, 0)


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A session as it is stored. `owner` is what the key's hash is sealed for."""

    token_hash: bytes
    owner: UUID
    environment: str
    sealed_key: SealedKey
    key_hash_ciphertext: bytes
    expires_at: datetime


class ConsoleSessions(Protocol):
    """Sessions, by the hash of their token. `find` gives none that is over."""

    async def now(self) -> datetime: ...

    async def add(self, session: ConsoleSession) -> None: ...

    async def find(self, token_hash: bytes) -> ConsoleSession | None: ...

    async def end(self, token_hash: bytes) -> None: ...


class SessionWork(Protocol):
    """What of a unit of work is needed here."""

    @property
    def console_sessions(self) -> ConsoleSessions: ...

    async def audit(self, *entries: AuditEntry) -> None: ...


class Authenticating(Protocol):
    """Recognises a key by its hash; the use-case `Authenticate`."""

    async def __call__(self, key_hash: bytes, *, environment: str | None, address: str | None) -> Caller: ...


@dataclass(frozen=True, slots=True)
class SignIn:
    """Makes a session for whoever was recognised by a key."""

    vault: Vault

    async def __call__(self, work: SessionWork, caller: Caller, key: Secret, *, former: Secret | None) -> Secret:
        """The session's token, which only the browser is to have. The browser's `former` session ends."""
        if former is not None:
            await work.console_sessions.end(_hash(former))
        token, owner = new_token(), new_id()
        sealed_key = self.vault.new_data_key(owner)
        session = ConsoleSession(
            token_hash=_hash(token),
            owner=owner,
            environment=caller.environment,
            sealed_key=sealed_key,
            key_hash_ciphertext=self.vault.seal(owner, sealed_key, _KEY_HASH, _VERSION, hash_key(key)),
            expires_at=await work.console_sessions.now() + LIFE,
        )
        await work.console_sessions.add(session)
        await work.audit(AuditEntry(caller, "console.sign_in", None))
        return token


@dataclass(frozen=True, slots=True)
class Recognise:
    """Who comes with a session."""

    vault: Vault
    authenticate: Authenticating

    async def __call__(self, work: SessionWork, token: Secret, *, address: str | None) -> Caller:
        """The caller, with what the key may do today.

        Raises:
            NotAuthenticated: There is no such session, it is over, or its key is.
        """
        session = await work.console_sessions.find(_hash(token))
        if session is None:
            raise NotAuthenticated
        key_hash = self.vault.open(session.owner, session.sealed_key, _KEY_HASH, _VERSION, session.key_hash_ciphertext)
        return await self.authenticate(key_hash, environment=session.environment, address=address)


@dataclass(frozen=True, slots=True)
class SignOut:
    """Ends a session; its token is worth nothing then, wherever a copy may be."""

    async def __call__(self, work: SessionWork, caller: Caller, token: Secret) -> None:
        """Nothing happens where there is none."""
        await work.console_sessions.end(_hash(token))
        await work.audit(AuditEntry(caller, "console.sign_out", None))


def _hash(token: Secret) -> bytes:
    return sha256(b"tokenkeep.console-session." + token.reveal().encode()).digest()
