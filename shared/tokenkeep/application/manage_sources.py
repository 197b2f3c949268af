"""Create sources; pause and resume them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.ports import Vault
from tokenkeep.application.sealing import CLIENT_SECRET
from tokenkeep.application.work import Work
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.events import Event, EventType
from tokenkeep.domain.ids import EventId, IdKind, SourceId, format_id, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source, SourceState
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.options import effective_rules, validate_options


@dataclass(frozen=True, slots=True)
class NewSource:
    """A source as the caller describes it."""

    provider: str
    name: str
    client_id: str | None
    client_secret: Secret | None
    scopes: tuple[str, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateSource:
    """Validates the options against the provider's entry and stores the source, its client secret sealed."""

    catalogue: Catalogue
    vault: Vault

    async def __call__(self, work: Work, caller: Caller, wanted: NewSource) -> Source:
        """The new source.

        Raises:
            NotFound: There is no such provider.
            InvalidInput: An option is unknown, missing or wrong; `field` names it.
        """
        provider = self.catalogue.get(wanted.provider)
        if provider.auth_type is not AuthType.OAUTH2:
            raise InvalidInput("provider", f"{provider.slug} is not an OAuth 2.0 provider")
        options = validate_options(provider, wanted.options)
        # A source whose rules can't be worked out would fail every refresh, so it is refused now.
        effective_rules(provider, options)
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
        )
        key = self.vault.new_data_key(source_id)
        sealed = None
        if wanted.client_secret is not None:
            plain = wanted.client_secret.reveal().encode()
            sealed = self.vault.seal(source_id, key, CLIENT_SECRET, (source.secret_version, 0), plain)
        await work.sources.add(source, key, sealed)
        await work.audit(AuditEntry(caller, "source.create", format_id(IdKind.SOURCE, source_id)))
        return source


@dataclass(frozen=True, slots=True)
class PauseSource:
    """Stops refreshing for a source, or goes on with it. The accounts keep their states."""

    async def __call__(
        self, work: Work, caller: Caller, source_id: SourceId, *, paused: bool, correlation_id: str | None = None
    ) -> Source:
        """The source as it is then; nothing is told when it was so already.

        Raises:
            NotFound: There is no such source in this environment.
        """
        found = await work.sources.lock(source_id, caller.environment)
        if found is None:
            raise NotFound("source")
        source, told = found
        if (source.state is SourceState.PAUSED) == paused:
            return source
        now = await work.accounts.now()
        changed = replace(
            source,
            state=SourceState.PAUSED if paused else SourceState.ACTIVE,
            paused_reason="by_operator" if paused else None,
            updated_at=now,
        )
        event = Event(
            id=EventId(new_id()),
            type=EventType.SOURCE_PAUSED if paused else EventType.SOURCE_RESUMED,
            subject=source.id,
            subject_kind=IdKind.SOURCE,
            environment=source.environment,
            sequence=told + 1,
            time=now,
            correlation_id=correlation_id,
            data={
                "source_id": format_id(IdKind.SOURCE, source.id),
                "provider": source.provider,
                "environment": source.environment,
                "state": changed.state.value,
                **({"reason": changed.paused_reason} if changed.paused_reason else {}),
            },
        )
        await work.sources.save_state(changed, event_sequence=told + 1)
        await work.tell([event])
        action = "source.pause" if paused else "source.resume"
        await work.audit(AuditEntry(caller, action, format_id(IdKind.SOURCE, source.id)))
        return changed
