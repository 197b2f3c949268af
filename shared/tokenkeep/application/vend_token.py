"""Vend: hand out a valid access token, from store or by one refresh that all callers share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NewType, Protocol

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.credential_stores import POINTER_MARK, CredentialStores
from tokenkeep.application.demand_refresh import Demand, DemandRefresh
from tokenkeep.application.sealing import ACCESS, TokenSealer
from tokenkeep.domain.account import Account, AuthType, DisabledReason
from tokenkeep.domain.conflicts import AccountDisabled, AccountPending, ReauthorizationRequired
from tokenkeep.domain.credential import UNKNOWN_LIFETIME, CredentialVersion, SealedKey
from tokenkeep.domain.errors import NotFound, NotStored, StoreUnavailable, TokenUnavailable
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.vending import Renewal, is_fresh, refuse_by_state
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.request_credentials import RequestCredentials, bearer_header, request_credentials

_LONGEST_WAIT = timedelta(seconds=30)
_DEFAULT_RETRY_S = 5.0
_PAUSED = "source_paused"


@dataclass(frozen=True, slots=True)
class HeldToken:
    """An account's credentials as they are stored, with all that handing them out needs, at one moment of the database's clock.

    `client_id` and `options`, the source's, and `properties` are read for kinds that are not OAuth 2 alone: that needs none.
    """

    account_id: AccountId
    source_id: SourceId
    environment: str
    provider: str
    auth_type: AuthType
    version: CredentialVersion
    sealed_key: SealedKey
    access_ciphertext: bytes
    token_type: str
    scopes: tuple[str, ...]
    now: datetime
    client_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)


ReadyToken = NewType("ReadyToken", HeldToken)
"""What an account holds that was active when it was read, and whose token nobody reported as refused."""


@dataclass(frozen=True, slots=True)
class StoredToken:
    """One read of all that vending may need: how the account stands, and the credentials that it has, if it has any.

    `reported`: a service says that the provider refuses this very token.
    """

    account: Account
    held: HeldToken | None
    refreshing: bool
    paused: bool
    not_before: datetime | None
    quarantined_until: datetime | None
    now: datetime
    reported: bool = False


@dataclass(frozen=True, slots=True)
class VendedToken:
    """Credentials that were valid when they were read: their fields, and what a request to the provider needs."""

    source_id: SourceId
    provider: str
    auth_type: AuthType
    fields: Mapping[str, Secret]
    token_type: str
    expires_at: datetime | None
    scopes: tuple[str, ...]
    refreshed: bool
    request: RequestCredentials
    client_id: str | None = None

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

    def at_once(self, held: ReadyToken | None, *, environment: str) -> VendedToken | None:
        """What a caller without particular wishes gets; None for all that takes more, refusals among it.

        Raises:
            VaultError: What is stored does not open.
        """
        if held is None or held.environment != environment or not self._is_good(held, _NO_WISH):
            return None
        if held.access_ciphertext[:1] == POINTER_MARK:
            return None
        return self._built(held, held.access_ciphertext, refreshed=False)

    async def _vend(self, stored: StoredToken, wish: Wish, environment: str, correlation_id: str) -> VendedToken:
        _check_state(stored)
        would_do = not wish.force and self._is_good(stored.held, wish)
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

    async def _as_good_as_it_gets(self, stored: StoredToken, wish: Wish) -> VendedToken:
        """An account that can't be refreshed gives what it has, as long as that is good enough."""
        if self._is_good(stored.held, wish):
            return await self._vended(stored, refreshed=False)
        ends = None if stored.held is None else stored.held.version.expires_at
        if ends is not None and ends <= stored.now:
            raise ReauthorizationRequired(DisabledReason.EXPIRED.value)
        raise TokenUnavailable("the stored token ends too soon and can't be refreshed", retry_after=60.0)

    async def _refreshed(self, stored: StoredToken, wish: Wish, environment: str, correlation_id: str) -> VendedToken:
        account_id, seen, asked_at = stored.account.id, _version(stored), stored.now
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
            version = _version(stored)
            newer = version is not None and version.obtained_at >= demanded_at
            if newer and (wish.force or self._is_good(stored.held, wish)):
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
        held = stored.held
        assert held is not None  # noqa: S101 - an active account has credentials
        try:
            ciphertext = await self.stores.column(
                held.account_id, held.sealed_key, ACCESS, held.access_ciphertext, held.version
            )
        except StoreUnavailable:
            raise TokenUnavailable("credential_store", retry_after=_DEFAULT_RETRY_S) from None
        return self._built(held, ciphertext, refreshed=refreshed)

    def _built(self, held: HeldToken, ciphertext: bytes, *, refreshed: bool) -> VendedToken:
        fields = self.sealer.open_fields(held.account_id, held.sealed_key, ciphertext, held.version)
        return VendedToken(
            held.source_id,
            held.provider,
            held.auth_type,
            fields,
            held.token_type,
            held.version.expires_at,
            held.scopes,
            refreshed,
            self._request(held, fields),
            held.client_id,
        )

    def _is_good(self, held: HeldToken | None, wish: Wish) -> bool:
        if held is None:
            return False
        entry = self.catalogue.providers.get(held.provider)
        known = (None, None) if entry is None else (entry.access_token_ttl_s, entry.refresh_not_before_expiry_s)
        return is_fresh(held.version, min_ttl=wish.min_ttl, now=held.now, renewal=_renewal(*known))

    def _request(self, held: HeldToken, fields: Mapping[str, Secret]) -> RequestCredentials:
        if held.auth_type is AuthType.OAUTH2:
            # As for every provider: it matters to nobody whether this process knows this one.
            return RequestCredentials(bearer_header(fields["access_token"], held.token_type))
        provider = self.catalogue.get(held.provider)
        return request_credentials(provider, held.options, fields, properties=held.properties)


@lru_cache(maxsize=4_096)
def _renewal(usual_s: int | None, window_s: int | None) -> Renewal:
    usual = UNKNOWN_LIFETIME if usual_s is None else timedelta(seconds=usual_s)
    return Renewal(usual, None if window_s is None else timedelta(seconds=window_s))


def _version(stored: StoredToken) -> CredentialVersion | None:
    return None if stored.held is None else stored.held.version


def _check_state(stored: StoredToken) -> None:
    disabled = stored.account.disabled
    reason = None if disabled is None else disabled.reason
    refusal = refuse_by_state(stored.account.state, reason, has_credentials=stored.held is not None)
    if refusal is not None:
        raise refusal


def _barriers(stored: StoredToken) -> list[datetime]:
    """Moments before which nobody may present the refresh token: a back-off, a Retry-After, a quarantine, a provider's window."""
    moments = (stored.not_before, stored.quarantined_until)
    return [moment for moment in moments if moment is not None and moment > stored.now]


def _failed_since(stored: StoredToken, moment: datetime) -> bool:
    error = stored.account.last_error
    return error is not None and error.at > moment


def _not_in_time(stored: StoredToken) -> TokenUnavailable:
    waits = [(moment - stored.now).total_seconds() for moment in _barriers(stored)]
    error = stored.account.last_error
    reason = "the token may not be refreshed yet" if waits else "the refresh is still under way"
    if error is not None:
        reason = error.reason.value
    return TokenUnavailable(reason, retry_after=max([*waits, 1.0]))
