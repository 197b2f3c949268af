"""Create, change and pause sources."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.callout_secrets import check_callout, seal_callout_secret
from tokenkeep.application.check_client import check_client
from tokenkeep.application.hook_secrets import FORMER_FOR, check_hook_secret, seal_hook_secret
from tokenkeep.application.ports import RequestSigner, Vault
from tokenkeep.application.sealing import CLIENT_SECRET
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.application.work import Work
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import InvalidInput, NotAllowed, NotFound
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import IdKind, SourceId, format_id, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import BY_OPERATOR, Source, SourceState
from tokenkeep.domain.source_changes import is_client_fault, pause, prove, source_event
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.destinations import destinations
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.options import CALLOUT_URL, validate_options


@dataclass(frozen=True, slots=True)
class NewSource:
    """A source as the caller describes it."""

    provider: str
    name: str
    client_id: str | None
    client_secret: Secret | None
    scopes: tuple[str, ...]
    options: Mapping[str, Any]
    callout_secret: Secret | None = None
    hook_secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class CreateSource:
    """Validates the options and the client secret against the provider's entry and stores the source, the secret sealed."""

    catalogue: Catalogue
    vault: Vault
    clients: SourceClients
    signer: RequestSigner

    async def __call__(self, work: Work, caller: Caller, wanted: NewSource) -> Source:
        """The new source.

        Raises:
            NotFound: There is no such provider.
            InvalidInput: An option is unknown, missing or wrong, or the client secret does not serve; `field` names it.
        """
        provider = self.catalogue.get(wanted.provider)
        options = _checked_options(provider, wanted.options)
        check_client(
            self.clients, self.signer, provider, options, client_id=wanted.client_id, secret=wanted.client_secret
        )
        check_callout(options, wanted.callout_secret)
        check_hook_secret(provider, wanted.hook_secret)
        source_id = SourceId(new_id())
        now = await work.accounts.now()
        source = Source(
            id=source_id,
            environment=caller.environment,
            provider=provider.slug,
            name=wanted.name,
            auth_type=provider.auth_type,
            client_id=wanted.client_id,
            scopes=wanted.scopes,
            options=options,
            state=SourceState.ACTIVE,
            paused_reason=None,
            secret_version=1,
            created_at=now,
            updated_at=now,
            has_hook_secret=wanted.hook_secret is not None,
        )
        key = self.vault.new_data_key(source_id)
        sealed = None
        if wanted.client_secret is not None:
            plain = wanted.client_secret.reveal().encode()
            sealed = self.vault.seal(source_id, key, CLIENT_SECRET, (source.secret_version, 0), plain)
        await work.sources.add(source, key, sealed)
        callout_secret = seal_callout_secret(self.vault, source_id, key, wanted.callout_secret)
        await work.sources.save_callout_secret(source_id, callout_secret)
        if wanted.hook_secret is not None:
            hook_secret = seal_hook_secret(self.vault, source_id, key, wanted.hook_secret)
            await work.sources.save_hook_secret(source_id, hook_secret, former_for=FORMER_FOR)
        await work.audit(AuditEntry(caller, "source.create", format_id(IdKind.SOURCE, source_id)))
        return source


@dataclass(frozen=True, slots=True)
class SourceChange:
    """What of a source is to be changed; None leaves it as it is.

    `drop_secret`: it has no client secret from now on; `drop_callout_secret`, `drop_hook_secret`: nor one for callouts, or for the
    provider's notices.
    """

    name: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = None
    drop_secret: bool = False
    scopes: tuple[str, ...] | None = None
    options: Mapping[str, Any] | None = None
    callout_secret: Secret | None = None
    drop_callout_secret: bool = False
    hook_secret: Secret | None = None
    drop_hook_secret: bool = False


@dataclass(frozen=True, slots=True)
class UpdateSource:
    """Changes a source. A client that is changed is proven with one account before the others go."""

    catalogue: Catalogue
    vault: Vault
    clients: SourceClients
    signer: RequestSigner

    async def __call__(
        self,
        work: Work,
        caller: Caller,
        source_id: SourceId,
        change: SourceChange,
        *,
        correlation_id: str | None = None,
    ) -> Source:
        """The source as it is then.

        Raises:
            NotFound: There is no such source in this environment.
            InvalidInput: An option is unknown, missing or wrong, or the client secret does not serve; `field` names it.
            NotAllowed: The refresh tokens that it has would go elsewhere, and the caller may not have them.
        """
        source, told = await _locked(work, caller, source_id)
        now = await work.accounts.now()
        changed = self._changed(source, change, now=now)
        await self._check_destinations(work, caller, source, changed)
        new_secret = change.client_secret is not None or change.drop_secret or change.callout_secret is not None
        new_secret = new_secret or change.drop_callout_secret
        event_type: EventType | None = None
        if new_secret or (changed.client_id, changed.options) != (source.client_id, source.options):
            # A new version, whatever of the client was changed: answers to attempts with the former one say nothing of it.
            changed = replace(changed, secret_version=source.secret_version + 1)
            await self._seal(work, changed, change)
            if source.auth_type is AuthType.OAUTH2:  # of the others none is refreshed, so nothing would prove them
                changed, event_type = prove(changed, now=now, new_secret=new_secret)
        changed = await self._keep_hook_secret(work, changed, change)
        number = told + (event_type is not None)
        await work.sources.save(changed, event_sequence=number)
        if event_type is not None:
            await work.tell(
                [source_event(changed, event_type, sequence=number, now=now, correlation_id=correlation_id)]
            )
        await work.audit(AuditEntry(caller, "source.update", format_id(IdKind.SOURCE, source_id)))
        return changed

    def _changed(self, source: Source, change: SourceChange, *, now: datetime) -> Source:
        options = source.options
        if change.options is not None:
            provider = self.catalogue.get(source.provider)
            options = _checked_options(provider, change.options)
        return replace(
            source,
            name=source.name if change.name is None else change.name,
            client_id=source.client_id if change.client_id is None else change.client_id,
            scopes=source.scopes if change.scopes is None else change.scopes,
            options=options,
            updated_at=now,
        )

    async def _keep_hook_secret(self, work: Work, source: Source, change: SourceChange) -> Source:
        """The source with its new hook secret. It proves providers and not the client, so nothing is to be proven anew."""
        if change.hook_secret is None and not change.drop_hook_secret:
            return source
        check_hook_secret(self.catalogue.get(source.provider), change.hook_secret)
        sealed = None
        if change.hook_secret is not None:
            key = (await work.sources.config(source.id)).sealed_key
            sealed = seal_hook_secret(self.vault, source.id, key, change.hook_secret)
        await work.sources.save_hook_secret(source.id, sealed, former_for=FORMER_FOR)
        return replace(source, has_hook_secret=sealed is not None)

    async def _check_destinations(self, work: Work, caller: Caller, source: Source, changed: Source) -> None:
        """Who says where refresh tokens go may have them (ADR 0035)."""
        if changed.options == source.options or caller.may(Scope.CREDENTIALS_RELEASE):
            return
        provider = self.catalogue.get(source.provider)
        former = destinations(provider, source.options)
        moved = former is None or former != destinations(provider, changed.options)
        if moved and await work.sources.holds_grants(source.id):
            raise NotAllowed(Scope.CREDENTIALS_RELEASE)

    async def _seal(self, work: Work, source: Source, change: SourceChange) -> None:
        """Seal the client secret for the source's new version: the one that is given, else the one that it has.

        The secret of callouts is of no version: it is sealed only when it changes.
        """
        stored = await work.sources.config(source.id)
        secret = change.client_secret
        if secret is None and not change.drop_secret:
            secret = self.clients.secret_of(stored)
        provider = self.catalogue.get(source.provider)
        check_client(self.clients, self.signer, provider, source.options, client_id=source.client_id, secret=secret)
        held = stored.callout_secret_ciphertext is not None and not change.drop_callout_secret
        check_callout(source.options, change.callout_secret, held=held)
        if change.callout_secret is not None or change.drop_callout_secret:
            sealed = seal_callout_secret(self.vault, source.id, stored.sealed_key, change.callout_secret)
            await work.sources.save_callout_secret(source.id, sealed)
        ciphertext = None
        if secret is not None:
            plain, version = secret.reveal().encode(), (source.secret_version, 0)
            ciphertext = self.vault.seal(source.id, stored.sealed_key, CLIENT_SECRET, version, plain)
        await work.sources.save_client_secret(source.id, ciphertext)


@dataclass(frozen=True, slots=True)
class PauseSource:
    """Stops refreshing for a source. The accounts keep their states."""

    async def __call__(
        self, work: Work, caller: Caller, source_id: SourceId, *, correlation_id: str | None = None
    ) -> Source:
        """The source as it is then; nothing is told when it was paused already.

        An operator's pause replaces one over the client's faults: nothing is tried any more until he resumes it. A pause that
        asks for his decision stays what it is.

        Raises:
            NotFound: There is no such source in this environment.
        """
        source, told = await _locked(work, caller, source_id)
        was_paused = source.state is SourceState.PAUSED
        if was_paused and not is_client_fault(source.paused_reason):
            return source
        now = await work.accounts.now()
        changed = pause(source, BY_OPERATOR, now=now)
        number = told + (not was_paused)
        await work.sources.save(changed, event_sequence=number)
        if not was_paused:
            event = source_event(
                changed, EventType.SOURCE_PAUSED, sequence=number, now=now, correlation_id=correlation_id
            )
            await work.tell([event])
        await work.audit(AuditEntry(caller, "source.pause", format_id(IdKind.SOURCE, source.id)))
        return changed


def _checked_options(provider: Provider, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options as they may be stored.

    Raises:
        InvalidInput: An option is unknown, missing or wrong; `field` names it.
    """
    options = validate_options(provider, given)
    if provider.signed_token_requests and not options.keys() & {"refresher", CALLOUT_URL}:
        raise InvalidInput(
            "options.refresher", f"{provider.slug} wants token requests signed in a way of its own, which takes a hook"
        )
    return options


async def _locked(work: Work, caller: Caller, source_id: SourceId) -> tuple[Source, int]:
    found = await work.sources.lock(source_id, caller.environment)
    if found is None:
        raise NotFound("source")
    return found
