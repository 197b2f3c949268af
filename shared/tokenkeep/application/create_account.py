"""Create an account: from a live token set, from an authorization code, or without credentials, to be authenticated later."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.keep_credentials import Keeping, LiveTokens, Stored
from tokenkeep.application.prepared_account import BeingRevoked, Existing, PreparedAccount
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work
from tokenkeep.domain.account import Account, AccountState, Custody
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.arrival import Arrival
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.conflicts import AccountExists
from tokenkeep.domain.credential import CredentialVersion, Held, StaticCredentials, TokenSet, first_version, is_renewed
from tokenkeep.domain.errors import NotFound, RevocationUnanswered
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.ids import AccountId, IdKind, SourceId, format_id, new_id
from tokenkeep.domain.lease import Lease
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.settlement import Settlement, Standing
from tokenkeep.domain.source import Source
from tokenkeep.domain.transitions import first_scheduled
from tokenkeep.domain.verification import UNCHECKED, Checked, recorded, settled_external_id
from tokenkeep.providers.account_properties import check_account_properties
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.machine_credentials import MachineCredentials


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A code of the authorization-code flow (RFC 6749, section 4.1.3), to be exchanged once."""

    code: Secret
    redirect_uri: str
    code_verifier: Secret | None = None


@dataclass(frozen=True, slots=True)
class TemporaryCredentials:
    """Credentials of OAuth 1.0a for the time in which a user is asked (RFC 5849, section 2.1)."""

    token: Secret
    secret: Secret


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """Temporary credentials that a user has authorised, with what shows it, to be exchanged once (RFC 5849, section 2.3)."""

    temporary: TemporaryCredentials
    verifier: Secret


GivenCredentials = LiveTokens | AuthorizationCode | VerifiedToken | MachineCredentials | StaticCredentials
"""Everything that an account can be given. What is not yet a token, or a machine's, is first exchanged for one."""


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account as the caller describes it."""

    source_id: SourceId
    credentials: GivenCredentials | None
    external_id: str | None
    metadata: Mapping[str, str]
    properties: Mapping[str, Any]


class FirstToken(Protocol):
    """Obtains a machine's first token at the token endpoint of one of the environment's sources."""

    async def __call__(
        self, source_id: SourceId, environment: str, machine: MachineCredentials, properties: Mapping[str, Any]
    ) -> TokenSet: ...


class CodeExchange(Protocol):
    """Exchanges an authorization code at the token endpoint of one of the environment's sources."""

    async def __call__(
        self, source_id: SourceId, environment: str, code: AuthorizationCode, properties: Mapping[str, Any]
    ) -> TokenSet: ...


class VerifierExchange(Protocol):
    """Exchanges temporary credentials that a user has authorised, at one of the environment's sources of OAuth 1.0a."""

    async def __call__(
        self, source_id: SourceId, environment: str, verified: VerifiedToken, properties: Mapping[str, Any]
    ) -> StaticCredentials: ...


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """Stores an account with all that belongs to it in one transaction: nothing is stored by half.

    An authorization code has been exchanged before (`CodeExchange`), outside of any transaction, and so have a machine's
    credentials (`FirstToken`). An account that lacks a property is `pending` though it has credentials.
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
        tokens: Stored | None,
        correlation_id: str,
        checked: Checked = UNCHECKED,
    ) -> AccountId:
        """The new account's id. `checked` is what its provider has said of the credentials.

        Raises:
            NotFound: There is no such source in this environment.
            InvalidInput: A property is unknown or wrong, or the provider's requests can't be made with the credentials.
            ExternalIdMismatch: The provider tells another external id than is wanted.
            AccountExists: The source has another account with this verified external id, or its client one with this very refresh
                token.
            RevocationUnanswered: The provider is told just now to revoke this grant, or another one of its user's.
        """
        source = await work.sources.get(wanted.source_id, caller.environment, keep=True)
        if source is None:
            raise NotFound("source")
        now = await work.accounts.now()
        prepared = self.prepare(source, wanted, tokens, now=now, correlation_id=correlation_id, checked=checked)
        [storing] = await work.new_accounts.add([prepared])
        if isinstance(storing, Existing):
            raise AccountExists(shown(storing))
        if isinstance(storing, BeingRevoked):
            raise RevocationUnanswered(retry_after=storing.wait.total_seconds())
        account_id = prepared.account.id
        if checked.finding is not None:
            await work.identities.record(account_id, recorded(checked.finding, at=now))
        await work.tell(prepared.events)
        await work.audit(AuditEntry(caller, "account.create", format_id(IdKind.ACCOUNT, account_id)))
        return account_id

    def prepare(
        self,
        source: Source,
        wanted: NewAccount,
        tokens: Stored | None,
        *,
        now: datetime,
        correlation_id: str,
        arrival: Arrival | None = None,
        checked: Checked = UNCHECKED,
    ) -> PreparedAccount:
        """The account, ready to be stored. Asks nobody. `arrival`: it is one of many that come at once.

        Raises:
            InvalidInput: A property is unknown or wrong, or the provider's requests can't be made with the credentials.
            ExternalIdMismatch: The provider tells another external id than is wanted.
        """
        keeping = Keeping.at(self.catalogue, source)
        check_account_properties(keeping.provider, wanted.properties)
        held = None if tokens is None else keeping.normalised(tokens, now=now)
        ready = held is not None and keeping.is_ready(held, wanted.properties)
        account = _new_account(source, wanted, held, checked.external_id, ready=ready)
        lease = Lease(fence=0, epoch=1)
        version = None if held is None else first_version(held, now=now)
        if version is not None:
            standing = Standing(account, lease, version)
            policy = keeping.policy(self.policy)
            lease = first_scheduled(standing, now=now, policy=policy, idle_life=keeping.idle_life, arrival=arrival)
        happenings = (Happening(EventType.CREATED), *((Happening(EventType.ACTIVATED),) if ready else ()))
        told = Standing(account, lease, version or _no_version(now))
        settlement, events = number_events(
            Settlement(told, Outcome.OK, happenings=happenings), now=now, correlation_id=correlation_id
        )
        credentials = None
        if version is not None and held is not None:
            credentials = keeping.sealed(self.sealer, account.id, held, version)
        return PreparedAccount(
            account, settlement.standing.lease, credentials, wanted.metadata, wanted.properties, events
        )


def shown(existing: Existing) -> str | None:
    """The public id of the account that is there already, if it is of the caller's environment."""
    return None if existing.account_id is None else format_id(IdKind.ACCOUNT, existing.account_id)


def _new_account(
    source: Source, wanted: NewAccount, held: Held | None, told: ExternalId | None, *, ready: bool
) -> Account:
    settled, verified = settled_external_id(wanted.external_id, told)
    return Account(
        id=AccountId(new_id()),
        source_id=source.id,
        environment=source.environment,
        provider=source.provider,
        auth_type=source.auth_type,
        state=AccountState.ACTIVE if ready else AccountState.PENDING,
        custody=Custody.HELD if held is not None and is_renewed(held) else Custody.NONE,
        external_id=None if settled is None else settled.value,
        external_id_verified=verified,
        external_id_kind=None if settled is None else settled.kind,
    )


def _no_version(now: datetime) -> CredentialVersion:
    return CredentialVersion(1, 1, 0, now, None, None, refreshable=False)
