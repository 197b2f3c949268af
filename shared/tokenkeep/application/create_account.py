"""Create an account: from a live token set, from an authorization code, or without credentials, to be authenticated later."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work
from tokenkeep.domain.account import Account, AccountState, Custody
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.credential import CredentialVersion, TokenSet
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.ids import AccountId, IdKind, SourceId, format_id, new_id
from tokenkeep.domain.lease import Lease
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.settlement import Settlement, Standing
from tokenkeep.domain.source import Source
from tokenkeep.domain.transitions import first_scheduled
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.entry import Presented
from tokenkeep.providers.lifetimes import refresh_end
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.token_request import check_properties


@dataclass(frozen=True, slots=True)
class LiveTokens:
    """A token set that the caller already holds. `expires_in_s` counts from the moment of the call."""

    access_token: Secret
    refresh_token: Secret | None = None
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's name of a scheme
    scopes: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    expires_in_s: float | None = None
    refresh_token_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A code of the authorization-code flow (RFC 6749, section 4.1.3), to be exchanged once."""

    code: Secret
    redirect_uri: str
    code_verifier: Secret | None = None


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account as the caller describes it."""

    source_id: SourceId
    credentials: LiveTokens | AuthorizationCode | None
    external_id: str | None
    metadata: Mapping[str, str]
    properties: Mapping[str, Any]


class CodeExchange(Protocol):
    """Exchanges an authorization code at the token endpoint of one of the environment's sources."""

    async def __call__(
        self, source_id: SourceId, environment: str, code: AuthorizationCode, properties: Mapping[str, Any]
    ) -> TokenSet: ...


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """Stores an account with all that belongs to it in one transaction: nothing is stored by half.

    An authorization code has been exchanged before (`CodeExchange`), outside of any transaction.
    """

    catalogue: Catalogue
    sealer: TokenSealer
    policy: RefreshPolicy

    async def __call__(
        self,
        work: Work,
        caller: Caller,
        wanted: NewAccount,
        *,
        tokens: LiveTokens | TokenSet | None,
        correlation_id: str,
    ) -> AccountId:
        """The new account's id.

        Raises:
            NotFound: There is no such source in this environment.
            InvalidInput: A property without which the account could not be refreshed is missing or wrong.
            AccountExists: The source has another account with this verified external id, or with this very refresh token.
        """
        source = await work.sources.get(wanted.source_id, caller.environment)
        if source is None:
            raise NotFound("source")
        now = await work.accounts.now()
        token_set = None if tokens is None else normalised(self.catalogue, tokens, source, now=now)
        idle_life = None
        if token_set is not None and token_set.refresh_token is not None:
            rules = effective_rules(self.catalogue.get(source.provider), source.options)
            check_properties(rules, wanted.properties)
            idle_life = rules.idle_life
        account = _new_account(source, wanted, token_set)
        lease = Lease(fence=0, epoch=1)
        version = _first_version(token_set, now=now)
        if version is not None:
            standing = Standing(account, lease, version)
            lease = first_scheduled(standing, now=now, policy=self.policy, idle_life=idle_life)
        happenings = (Happening(EventType.CREATED), *((Happening(EventType.ACTIVATED),) if version else ()))
        told = Standing(account, lease, version or _no_version(now))
        settlement, events = number_events(
            Settlement(told, Outcome.OK, happenings=happenings), now=now, correlation_id=correlation_id
        )
        await work.accounts.add(
            account,
            settlement.standing.lease,
            obtained_at=None if version is None else version.obtained_at,
            metadata=wanted.metadata,
            properties=wanted.properties,
        )
        if version is not None and token_set is not None:
            key = self.sealer.vault.new_data_key(account.id)
            sealed = self.sealer.seal(account.id, key, token_set, version, kept=None)
            await work.accounts.put_credentials(account.id, version, key, sealed)
            if token_set.refresh_token is not None:
                await work.accounts.claim_grant(account, fingerprint(token_set.refresh_token))
        await work.tell(events)
        await work.audit(AuditEntry(caller, "account.create", format_id(IdKind.ACCOUNT, account.id)))
        return account.id


def normalised(catalogue: Catalogue, tokens: LiveTokens | TokenSet, source: Source, *, now: datetime) -> TokenSet:
    """A caller's token set with its life worked out: as told, else as the provider is known to give."""
    if isinstance(tokens, TokenSet):
        # An answer that names no scope grants what was asked for (RFC 6749, section 5.1).
        return tokens if tokens.scopes is not None else replace(tokens, scopes=source.scopes)
    rules = effective_rules(catalogue.get(source.provider), source.options)
    expires_at = tokens.expires_at
    if expires_at is None and tokens.expires_in_s is not None:
        expires_at = now + timedelta(seconds=tokens.expires_in_s)
    if expires_at is None and rules.access_token_ttl_s is not None:
        expires_at = now + timedelta(seconds=rules.access_token_ttl_s)
    refresh_token = tokens.refresh_token
    if refresh_token is None and rules.presented is Presented.ACCESS_TOKEN:
        refresh_token = tokens.access_token
    refresh_ends_at = tokens.refresh_token_expires_at
    if refresh_ends_at is None and tokens.refresh_token is not None:
        # The usual life tells nothing here: nobody knows when it began.
        refresh_ends_at = refresh_end({}, tokens.refresh_token.reveal(), sent_at=now).at
    return TokenSet(
        access_token=tokens.access_token,
        token_type=tokens.token_type,
        refresh_token=refresh_token,
        scopes=tokens.scopes if tokens.scopes is not None else source.scopes,
        expires_at=expires_at,
        refresh_token_expires_at=refresh_ends_at,
    )


def _new_account(source: Source, wanted: NewAccount, tokens: TokenSet | None) -> Account:
    held = tokens is not None and tokens.refresh_token is not None
    return Account(
        id=AccountId(new_id()),
        source_id=source.id,
        environment=source.environment,
        provider=source.provider,
        auth_type=source.auth_type,
        state=AccountState.PENDING if tokens is None else AccountState.ACTIVE,
        custody=Custody.HELD if held else Custody.NONE,
        external_id=wanted.external_id,
        external_id_verified=False,
    )


def _first_version(tokens: TokenSet | None, *, now: datetime) -> CredentialVersion | None:
    if tokens is None:
        return None
    return CredentialVersion(
        epoch=1,
        generation=1,
        installed_fence=0,
        obtained_at=now,
        expires_at=tokens.expires_at,
        refresh_token_expires_at=tokens.refresh_token_expires_at,
        refreshable=tokens.refresh_token is not None,
        refresh_end_derived=tokens.refresh_end_derived,
    )


def _no_version(now: datetime) -> CredentialVersion:
    return CredentialVersion(1, 1, 0, now, None, None, refreshable=False)


def fingerprint(refresh_token: Secret) -> bytes:
    """The SHA-256 of a refresh token: too random to be guessed from it."""
    return sha256(refresh_token.reveal().encode(errors="surrogatepass")).digest()
