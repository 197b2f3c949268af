"""Vend: hand out a valid access token, from store or by one refresh that all callers share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.credential_stores import POINTER_MARK, CredentialStores
from tokenkeep.application.demand_refresh import Demand, DemandRefresh
from tokenkeep.application.sealing import ACCESS, TokenSealer
from tokenkeep.domain.account import Account, AccountState, AuthType, DisabledReason
from tokenkeep.domain.credential import CredentialVersion, SealedKey
from tokenkeep.domain.errors import (
    AccountDisabled,
    AccountPending,
    NotFound,
    NotStored,
    ReauthorizationRequired,
    StoreUnavailable,
    TokenUnavailable,
)
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.vending import is_fresh, refuse_by_state
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.request_credentials import RequestCredentials, bearer_header, request_credentials

_LONGEST_WAIT = timedelta(seconds=30)
_DEFAULT_RETRY_S = 5.0
_PAUSED = "source_paused"


@dataclass(frozen=True, slots=True)
class StoredToken:
    """One read of what is stored: everything that vending needs, at one moment of the database's clock.

    `reported`: a service says that the provider refuses this very token. `client_id` and `options`, the source's, and `properties` are read for kinds that are not OAuth 2 alone: that needs none.
    """

    account: Account
    version: CredentialVersion | None
    sealed_key: SealedKey | None
    access_ciphertext: bytes | None
    token_type: str
    scopes: tuple[str, ...]
    refreshing: bool
    paused: bool
    not_before: datetime | None
    quarantined_until: datetime | None
    now: datetime
    reported: bool = False
    client_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VendedToken:
    """Credentials that were valid when they were read: their fields, and what a request to the provider needs."""

    account: Account
    fields: Mapping[str, Secret]
    token_type: str
    expires_at: datetime | None
    scopes: tuple[str, ...]
    refreshed: bool
    request: RequestCredentials
    client_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def access_token(self) -> Secret | None:
        """The token, where the credentials are one."""
        return self.fields.get("access_token")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asks for: a token valid for `min_ttl`, within `wait`; with `force`, one newer than the request."""

    min_ttl: timedelta = timedelta(seconds=60)
    wait: timedelta = timedelta(seconds=10)
    force: bool = False


_NO_WISH = Wish()


class StoredTokens(Protocol):
    """Reads stored tokens. Takes no lock and writes nothing; None when the environment has no such account."""

    async def __call__(self, account_id: AccountId) -> StoredToken | None: ...


class Waiters(Protocol):
    """Wakes up when an account is said to have been settled; a hint that may be lost."""

    async def wait(self, account_id: AccountId, timeout_s: float) -> None: ...


class VendObserver(Protocol):
    """Sees how requests for a token end. `result` is `stored`, `refreshed`, `unavailable`, `source_paused` or a refusal's code."""

    def token_vended(self, provider: str, result: str, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class VendToken:
    """The API's most-used use-case. It never refreshes by itself: it asks a worker, and waits."""

    tokens: StoredTokens
    demand: DemandRefresh
    waiters: Waiters
    sealer: TokenSealer
    stores: CredentialStores
    clocks: Clocks
    observer: VendObserver
    catalogue: Catalogue
    poll: timedelta = timedelta(milliseconds=500)

    async def __call__(
        self, account_id: AccountId, wish: Wish, *, environment: str, correlation_id: str
    ) -> VendedToken:
        """A token as wished.

        Raises:
            NotFound: There is no such account in this environment.
            AccountPending, AccountDisabled, ReauthorizationRequired: The account's state gives no token.
            TokenUnavailable: It can't be had within the wait; the account is none the worse for it.
        """
        started = self.clocks.loop_time()
        stored = await self._find(account_id, environment)
        provider = stored.account.provider
        try:
            vended = await self._vend(stored, wish, environment, correlation_id)
        except (AccountDisabled, AccountPending, ReauthorizationRequired) as refusal:
            self.observer.token_vended(provider, refusal.code, self.clocks.loop_time() - started)
            raise
        except TokenUnavailable as error:
            result = _PAUSED if error.reason == _PAUSED else "unavailable"
            self.observer.token_vended(provider, result, self.clocks.loop_time() - started)
            raise
        result = "refreshed" if vended.refreshed else "stored"
        self.observer.token_vended(provider, result, self.clocks.loop_time() - started)
        return vended

    def at_once(self, stored: StoredToken | None, *, environment: str) -> VendedToken | None:
        """What a caller without particular wishes gets, where the row alone says it; None for all that takes more, refusals among it.

        Raises:
            VaultError: What is stored does not open.
        """
        if (
            stored is None
            or stored.account.environment != environment
            or stored.account.state is not AccountState.ACTIVE
        ):
            return None
        version, key, ciphertext = stored.version, stored.sealed_key, stored.access_ciphertext
        if version is None or key is None or ciphertext is None or stored.reported:
            return None
        if not self._is_good(stored, _NO_WISH) or ciphertext[:1] == POINTER_MARK:
            return None
        return self._built(stored, key, ciphertext, version, refreshed=False)

    async def _vend(self, stored: StoredToken, wish: Wish, environment: str, correlation_id: str) -> VendedToken:
        _check_state(stored)
        would_do = not wish.force and self._is_good(stored, wish)
        if would_do and not stored.reported:
            return await self._vended(stored, refreshed=False)
        if not stored.refreshing:
            return await self._as_good_as_it_gets(stored, wish)
        try:
            return await self._refreshed(stored, wish, environment, correlation_id)
        except TokenUnavailable:
            if not would_do:
                raise
            # One service's word is no proof: where no newer token can be had, the others must not go without.
            stored = await self._find(stored.account.id, environment)
            _check_state(stored)
            return await self._as_good_as_it_gets(stored, wish)

    async def _find(self, account_id: AccountId, environment: str) -> StoredToken:
        stored = await self.tokens(account_id)
        if stored is None or stored.account.environment != environment:
            raise NotFound("account")
        return stored

    def _is_good(self, stored: StoredToken, wish: Wish) -> bool:
        return stored.version is not None and is_fresh(stored.version, min_ttl=wish.min_ttl, now=stored.now)

    async def _as_good_as_it_gets(self, stored: StoredToken, wish: Wish) -> VendedToken:
        """An account that can't be refreshed gives what it has, as long as that is good enough."""
        if self._is_good(stored, wish):
            return await self._vended(stored, refreshed=False)
        version = stored.version
        ends = None if version is None else version.expires_at
        if ends is not None and ends <= stored.now:
            raise ReauthorizationRequired(DisabledReason.EXPIRED.value)
        raise TokenUnavailable("the stored token ends too soon and can't be refreshed", retry_after=60.0)

    async def _refreshed(self, stored: StoredToken, wish: Wish, environment: str, correlation_id: str) -> VendedToken:
        account_id, seen, asked_at = stored.account.id, stored.version, stored.now
        wait = min(wish.wait, _LONGEST_WAIT)
        if stored.paused:
            raise TokenUnavailable(_PAUSED, retry_after=60.0)
        if any(until > stored.now + wait for until in _barriers(stored)):
            raise _not_in_time(stored)
        deadline = self.clocks.loop_time() + wait.total_seconds()
        newer_than = None if wish.force or seen is None else seen.obtained_at
        demanded_at = await self.demand(Demand(account_id, newer_than, correlation_id))
        if demanded_at is None:
            # Since the row was read, somebody else's refresh may have found the grant gone.
            _check_state(await self._find(account_id, environment))
            raise TokenUnavailable("the account is not being refreshed", retry_after=_DEFAULT_RETRY_S)
        while True:
            remaining = deadline - self.clocks.loop_time()
            if remaining > 0:
                await self.waiters.wait(account_id, min(remaining, self.poll.total_seconds()))
            stored = await self._find(account_id, environment)
            _check_state(stored)
            version = stored.version
            newer = version is not None and version.obtained_at >= demanded_at
            if newer and (wish.force or self._is_good(stored, wish)):
                return await self._vended(stored, refreshed=True)
            too_late = stored.now + timedelta(seconds=remaining)
            if remaining <= 0 or _failed_since(stored, asked_at) or any(one > too_late for one in _barriers(stored)):
                raise _not_in_time(stored)

    async def _vended(self, stored: StoredToken, *, refreshed: bool) -> VendedToken:
        try:
            return await self._opened(stored, refreshed=refreshed)
        except NotStored:
            # Replaced since the row was read; the row says where the newer ones lie.
            stored = await self._find(stored.account.id, stored.account.environment)
            _check_state(stored)
        try:
            return await self._opened(stored, refreshed=refreshed)
        except NotStored:
            raise TokenUnavailable("credential_store", retry_after=_DEFAULT_RETRY_S) from None

    async def _opened(self, stored: StoredToken, *, refreshed: bool) -> VendedToken:
        assert stored.version is not None  # noqa: S101 - an active account has credentials
        assert stored.sealed_key is not None  # noqa: S101 - as above
        assert stored.access_ciphertext is not None  # noqa: S101 - as above
        owner, key, version = stored.account.id, stored.sealed_key, stored.version
        try:
            ciphertext = await self.stores.column(owner, key, ACCESS, stored.access_ciphertext, version)
        except StoreUnavailable:
            raise TokenUnavailable("credential_store", retry_after=_DEFAULT_RETRY_S) from None
        return self._built(stored, key, ciphertext, version, refreshed=refreshed)

    def _built(
        self, stored: StoredToken, key: SealedKey, ciphertext: bytes, version: CredentialVersion, *, refreshed: bool
    ) -> VendedToken:
        fields = self.sealer.open_fields(stored.account.id, key, ciphertext, version)
        return VendedToken(
            stored.account,
            fields,
            stored.token_type,
            version.expires_at,
            stored.scopes,
            refreshed,
            self._request(stored, fields),
            stored.client_id,
            stored.options,
        )

    def _request(self, stored: StoredToken, fields: Mapping[str, Secret]) -> RequestCredentials:
        if stored.account.auth_type is AuthType.OAUTH2:
            # As for every provider: it matters to nobody whether this process knows this one.
            return RequestCredentials(bearer_header(fields["access_token"], stored.token_type))
        provider = self.catalogue.get(stored.account.provider)
        return request_credentials(provider, stored.options, fields, properties=stored.properties)


def _check_state(stored: StoredToken) -> None:
    disabled = stored.account.disabled
    reason = None if disabled is None else disabled.reason
    refusal = refuse_by_state(stored.account.state, reason, has_credentials=stored.version is not None)
    if refusal is not None:
        raise refusal


def _barriers(stored: StoredToken) -> list[datetime]:
    """Moments before which nobody may present the refresh token: a back-off, a Retry-After, a quarantine."""
    moments = (stored.not_before, stored.quarantined_until)
    return [moment for moment in moments if moment is not None and moment > stored.now]


def _failed_since(stored: StoredToken, moment: datetime) -> bool:
    error = stored.account.last_error
    return error is not None and error.at > moment


def _not_in_time(stored: StoredToken) -> TokenUnavailable:
    waits = [(moment - stored.now).total_seconds() for moment in _barriers(stored)]
    error = stored.account.last_error
    reason = "the refresh is still under way"
    if error is not None:
        reason = error.reason.value
    return TokenUnavailable(reason, retry_after=max([*waits, 1.0]))
