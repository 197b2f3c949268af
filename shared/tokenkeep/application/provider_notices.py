"""What the taking of providers' notices needs of the world."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.providers.hook_notices import NamedAccount, NamedProperty, TokenMark


@dataclass(frozen=True, slots=True)
class HookedSource:
    """A source as its provider's notices are read for it. The secrets are still sealed; the former one is good until now."""

    config: SourceConfig
    hook_secret_ciphertext: bytes | None = field(repr=False)
    former_hook_secret_ciphertext: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class MeantAccount:
    """An account that a notice means; `surely`, if the provider itself has told that it is the one that is named."""

    id: AccountId
    surely: bool


class ProviderNotices(Protocol):
    """Notices and whom they mean, in one transaction."""

    async def source(self, source_id: SourceId) -> HookedSource | None: ...

    async def hold(self, source_id: SourceId) -> None: ...

    async def accounts(
        self, source: SourceConfig, named: Sequence[NamedAccount], kinds: Collection[str]
    ) -> Sequence[MeantAccount]: ...

    async def accounts_at(self, source_id: SourceId, held: NamedProperty) -> Sequence[MeantAccount]: ...

    async def accounts_with(self, source_id: SourceId, marks: Sequence[TokenMark]) -> Sequence[MeantAccount]: ...

    async def was_taken(self, source_id: SourceId, digest: bytes) -> bool: ...

    async def count_believed(self, source_id: SourceId, *, within: timedelta, most: int) -> int: ...

    async def note(self, source_id: SourceId, digest: bytes, *, believed: bool) -> None: ...


class SecurityEventTokens(Protocol):
    """Reads security event tokens (RFC 8417)."""

    def key_id(self, token: bytes) -> str | None:
        """Which key is said to have signed it; None: it is no such token, or names no key."""

    def claims(self, token: bytes, keys: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What it says, if one of these keys has signed it; `keys` is a set of JWKs (RFC 7517)."""


class HookObserver(Protocol):
    """Sees what becomes of notices; a provider that is not known is None."""

    def provider_hook_taken(self, provider: str | None, result: str) -> None: ...


class Now(Protocol):
    """This process's wall clock."""

    def __call__(self) -> datetime: ...
