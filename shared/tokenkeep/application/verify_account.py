"""Verify: ask the provider about the credentials that an account has now, and keep what it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.check_credentials import CheckCredentials, InHand
from tokenkeep.application.credential_stores import CredentialStores, Fetched, having_fetched
from tokenkeep.application.full_accounts import FullAccount
from tokenkeep.application.linking import ConnectLinks
from tokenkeep.application.refreshing import SettlementWrite
from tokenkeep.application.replace_credentials import identified
from tokenkeep.application.sealing import ACCESS, TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.application.vend_token import VendedToken, VendToken, Wish
from tokenkeep.application.work import Work, Works
from tokenkeep.domain.account import AccountView
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import AccountExists, AccountPending
from tokenkeep.domain.connect_link import LinkMaker
from tokenkeep.domain.errors import ExternalIdMismatch, NotFound
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.domain.verification import (
    Confirmed,
    Finding,
    Unknown,
    UnknownReason,
    is_another,
    recorded,
    settle_finding,
)

_WAIT = timedelta(seconds=10)
"""For a refresh, where the token has run out."""


@dataclass(frozen=True, slots=True)
class VerifyAccount:
    """Takes the token as any caller would, so one that has run out is refreshed by a worker; asks; then writes, under the row lock."""

    works: Works
    vend: VendToken
    check: CheckCredentials
    sealer: TokenSealer
    stores: CredentialStores
    links: ConnectLinks

    async def __call__(self, caller: Caller, account_id: AccountId, *, correlation_id: str) -> AccountView:
        """The account as it is then.

        Raises:
            NotFound: There is no such account in this environment.
            AccountPending, AccountDisabled, ReauthorizationRequired: The account's state gives no token.
            TokenUnavailable: Its token has run out, and no new one can be had in time.
            AccountExists: The provider tells an external id that another account of the source has.
        """
        source, view, now = await self._found(caller, account_id)
        if self.check.can_ask(source):
            wish = Wish(min_ttl=self.check.deadline, wait=_WAIT)
            vended = await self.vend(account_id, wish, environment=caller.environment, correlation_id=correlation_id)
            finding = await self._asked(source, vended, view, now=now)
            seen: Mapping[str, Secret] | None = vended.fields
        else:
            finding, seen = Unknown(UnknownReason.NOT_SUPPORTED), None
        links = (await self.links()).of(source)

        async def write(fetched: Fetched) -> AccountView:
            return await self._written(
                fetched, caller, account_id, finding=finding, seen=seen, links=links, correlation_id=correlation_id
            )

        return await having_fetched(self.stores, write)

    async def _written(
        self,
        fetched: Fetched,
        caller: Caller,
        account_id: AccountId,
        *,
        finding: Finding,
        seen: Mapping[str, Secret] | None,
        links: LinkMaker | None,
        correlation_id: str,
    ) -> AccountView:
        async with self.works() as work:
            full = await work.full_accounts.lock(account_id, caller.environment)
            if full is None:
                raise NotFound("account")
            if seen is not None and not self._still_has(full, fetched, seen):
                # What was learnt is about credentials that are no more.
                finding = Unknown(UnknownReason.CREDENTIALS_CHANGED)
            refusal = await _write(work, full, finding, links, correlation_id)
            if refusal is None:  # a refusal is audited where all of them are
                await work.audit(AuditEntry(caller, "account.verify", format_id(IdKind.ACCOUNT, account_id)))
            changed = await work.accounts.view(account_id, caller.environment)
        if refusal is not None:
            # Only now: what was learnt of the credentials is kept.
            raise refusal
        assert changed is not None  # noqa: S101 - its lease was locked
        return changed

    async def _found(self, caller: Caller, account_id: AccountId) -> tuple[Source, AccountView, datetime]:
        async with self.works() as work:
            now = await work.accounts.now()
            view = await work.accounts.view(account_id, caller.environment)
            source = None if view is None else await work.sources.get(view.account.source_id, caller.environment)
        if view is None or source is None:
            raise NotFound("account")
        if view.generation is None and view.account.disabled is None:
            raise AccountPending
        return source, view, now

    async def _asked(self, source: Source, vended: VendedToken, view: AccountView, *, now: datetime) -> Finding:
        held = InHand(
            fields=vended.fields,
            token_type=vended.token_type,
            scopes=vended.scopes,
            expires_at=vended.expires_at,
            renewable=False,
            fresh=vended.refreshed,
        )
        finding = await self.check(source, held, view.properties, now=now, known=view.account.owner)
        return Unknown(UnknownReason.NOT_SUPPORTED) if finding is None else finding

    def _still_has(self, full: FullAccount, fetched: Fetched, seen: Mapping[str, Secret]) -> bool:
        stored = full.stored
        if stored is None:
            return False
        owner, key, version = full.account.id, stored.sealed_key, stored.version
        sealed = fetched.column(owner, key, ACCESS, stored.access_ciphertext, version)
        return seen == self.sealer.open_fields(owner, key, sealed, version)


async def _write(
    work: Work, full: FullAccount, finding: Finding, links: LinkMaker | None, correlation_id: str
) -> AccountExists | None:
    """Keep the finding; an error, if the account turns out to be one that another one is already."""
    told = finding.told if isinstance(finding, Confirmed) else ()
    refusal: AccountExists | None = None
    account = full.account
    try:
        account = await identified(work, account, told, own=account.external_id_verified)
    except AccountExists as taken:
        refusal = taken
    code = ExternalIdMismatch.code if is_another(account, told) else None
    code = code if refusal is None else refusal.code
    await work.identities.record(account.id, recorded(finding, at=full.now, code=code))
    decided = settle_finding(full.standing, finding, now=full.now)
    if decided is not None:
        settlement, events = number_events(decided, now=full.now, correlation_id=correlation_id, links=links)
        await work.ledger.write(
            [
                SettlementWrite(
                    before=full.standing, settlement=settlement, attempt=None, events=events, settled_at=full.now
                )
            ]
        )
    return refusal
