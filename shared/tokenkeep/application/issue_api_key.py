"""Make API keys, withdraw and recognise them."""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.work import Work
from tokenkeep.domain.api_key import ENVIRONMENT_NAME, ApiKey, Caller, Scope
from tokenkeep.domain.errors import InvalidInput, NotAllowed, NotAuthenticated, NotFound
from tokenkeep.domain.ids import ApiKeyId, IdKind, format_id, new_id
from tokenkeep.domain.secret import Secret

KEY_PREFIX = "tk_"
_KEY_BYTES = 32
ADMIN_NAME = "admin-key"
DEFAULT_ENVIRONMENT = "default"
_ENVIRONMENT_RULE = "1 to 64 lower-case letters, digits, '-' or '_', a letter or digit at both ends"


def new_key() -> Secret:
    """A fresh API key: `tk_` and 256 random bits."""
    return Secret(KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES))


def hash_key(key: Secret) -> bytes:
    """The SHA-256 of a key, by which it is stored and found."""
    return hashlib.sha256(key.reveal().encode()).digest()


@dataclass(frozen=True, slots=True)
class IssueApiKey:
    """Makes a key. Only its hash is stored, so it can be shown only now.

    Nobody gives away more than they have: a key's maker has all of its scopes and belongs to its environment. Only the
    bootstrap admin key, which belongs to every environment, makes keys for any of them.
    """

    async def __call__(
        self,
        work: Work,
        caller: Caller,
        *,
        name: str,
        environment: str,
        scopes: frozenset[Scope],
        expires_at: datetime | None,
    ) -> tuple[ApiKey, Secret]:
        """The key's description, and the key itself.

        Raises:
            InvalidInput: The environment is malformed or another one, or the expiry is in the past.
            NotAllowed: The caller lacks a scope that the key is to have.
        """
        if ENVIRONMENT_NAME.fullmatch(environment) is None:
            raise InvalidInput("environment", _ENVIRONMENT_RULE)
        if caller.name == ADMIN_NAME:
            caller = replace(caller, environment=environment)
        elif caller.environment != environment:
            raise InvalidInput("environment", "an API key is made for its maker's own environment")
        for scope in sorted(scopes):
            if not caller.may(scope):
                raise NotAllowed(scope.value)
        now = await work.accounts.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("expires_at", "must be in the future")
        key = new_key()
        text = key.reveal()
        described = ApiKey(
            id=ApiKeyId(new_id()),
            name=name,
            environment=environment,
            scopes=scopes,
            hint=f"{text[:6]}…{text[-2:]}",
            created_at=now,
            expires_at=expires_at,
            last_used_at=None,
        )
        await work.api_keys.add(described, hash_key(key), created_by=caller.name)
        await work.audit(AuditEntry(caller, "api_key.create", format_id(IdKind.API_KEY, described.id)))
        return described, key


@dataclass(frozen=True, slots=True)
class WithdrawApiKey:
    """Deletes a key; it stops working at once."""

    async def __call__(self, work: Work, caller: Caller, key_id: ApiKeyId) -> None:
        """Raises `NotFound` when the caller's environment has no such key."""
        if not await work.api_keys.withdraw(key_id, caller.environment):
            raise NotFound("API key")
        await work.audit(AuditEntry(caller, "api_key.delete", format_id(IdKind.API_KEY, key_id)))


class Authenticate:
    """Recognises the bearer of a key by its hash. The bootstrap admin key belongs to every environment."""

    def __init__(self, find: Callable[[bytes], Awaitable[ApiKey | None]], admin_key: Secret | None) -> None:
        self._find = find
        self._admin_hash = None if admin_key is None else hash_key(admin_key)

    async def __call__(self, key_hash: bytes, *, environment: str | None, address: str | None) -> Caller:
        """Who the key belongs to.

        Args:
            key_hash: The bearer token's hash, by `hash_key`; the admin key's is compared in constant time.
            environment: The header `X-Tokenkeep-Environment`; only the admin key may choose.
            address: Where the request came from, for the audit trail.

        Raises:
            NotAuthenticated: The key is unknown, expired or withdrawn.
            InvalidInput: The environment's name is malformed.
        """
        if self._admin_hash is not None and hmac.compare_digest(key_hash, self._admin_hash):
            chosen = environment or DEFAULT_ENVIRONMENT
            if ENVIRONMENT_NAME.fullmatch(chosen) is None:
                raise InvalidInput("X-Tokenkeep-Environment", _ENVIRONMENT_RULE)
            return Caller(ADMIN_NAME, chosen, frozenset({Scope.ADMIN}), address)
        found = await self._find(key_hash)
        if found is None:
            raise NotAuthenticated
        if environment is not None and environment != found.environment:
            raise InvalidInput("X-Tokenkeep-Environment", "this API key belongs to another environment")
        return Caller(format_id(IdKind.API_KEY, found.id), found.environment, found.scopes, address)
