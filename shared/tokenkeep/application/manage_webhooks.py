"""Make webhooks, change them, give them new secrets, delete them."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.ports import Vault
from tokenkeep.application.webhook_secrets import new_webhook_secret, seal_webhook_secret
from tokenkeep.application.work import Work
from tokenkeep.domain import webhook as webhooks
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import TooManyWebhooks
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.ids import IdKind, WebhookId, format_id, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.webhook import MOST_WEBHOOKS, Webhook, WebhookDisabledReason

DEFAULT_OVERLAP: Final = timedelta(days=1)
LONGEST_OVERLAP: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook as the caller describes it; its address was checked."""

    url: str
    description: str | None
    types: frozenset[str] | None
    ordered: bool


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """What of a webhook is to be changed; None leaves it as it is.

    `all_types` and `no_description` take away what None can't. `heard_from` goes with `enabled`: the position of the feed
    behind which everything has yet to happen.
    """

    url: str | None = None
    description: str | None = None
    no_description: bool = False
    types: frozenset[str] | None = None
    all_types: bool = False
    ordered: bool | None = None
    enabled: bool | None = None
    heard_from: int = 0


@dataclass(frozen=True, slots=True)
class Parking:
    """A webhook that is to be enabled has more to be put aside than one transaction does. It is left as it was.

    What was put aside is to be committed, and that a worker is to go on: so this is a result and no error.
    """


@dataclass(frozen=True, slots=True)
class CreateWebhook:
    """Makes a webhook with a secret of its own, which can be shown only now."""

    vault: Vault

    async def __call__(
        self, work: Work, caller: Caller, wanted: NewWebhook, *, heard_from: int
    ) -> tuple[Webhook, Secret]:
        """The webhook and its secret. It is told the events behind the position `heard_from`.

        Raises:
            TooManyWebhooks: The environment has as many as one may have.
        """
        if await work.webhooks.count(caller.environment) >= MOST_WEBHOOKS:
            raise TooManyWebhooks(MOST_WEBHOOKS)
        webhook_id, now = WebhookId(new_id()), await work.accounts.now()
        webhook = Webhook(
            id=webhook_id,
            environment=caller.environment,
            url=wanted.url,
            description=wanted.description,
            types=wanted.types,
            ordered=wanted.ordered,
            disabled_reason=None,
            disabled_at=None,
            heard_from=heard_from,
            sequence=0,
            created_at=now,
            updated_at=now,
        )
        key, secret = self.vault.new_data_key(webhook_id), new_webhook_secret()
        await work.webhooks.add(webhook, key, seal_webhook_secret(self.vault, webhook_id, key, secret, version=1))
        await _audit(work, caller, "webhook.create", webhook_id)
        return webhook, secret


@dataclass(frozen=True, slots=True)
class UpdateWebhook:
    """Changes a webhook. One that is enabled, or has another address, is taken for sound until it fails."""

    async def __call__(
        self, work: Work, caller: Caller, webhook_id: WebhookId, change: WebhookChange
    ) -> Webhook | Parking:
        """The webhook as it is then. Raises `NotFound`."""
        webhook = await _locked(work, caller, webhook_id)
        now = await work.accounts.now()
        changed = _changed(webhook, change, now=now)
        fresh = changed.url != webhook.url or changed.ordered != webhook.ordered
        if change.enabled is True and not webhook.enabled:
            await work.webhooks.park(webhook_id)
            if await work.webhooks.is_parking(webhook_id):
                return Parking()
            changed, event = webhooks.enable(changed, heard_from=change.heard_from, now=now)
            await work.tell([event])
            fresh = True
        elif change.enabled is False and webhook.enabled:
            changed, event = webhooks.disable(changed, WebhookDisabledReason.BY_OPERATOR, now=now)
            await work.webhooks.park(webhook_id)
            await work.tell([event])
            fresh = False
        await work.webhooks.save(changed)
        if fresh:
            await work.webhooks.start_afresh(webhook_id)
        await _audit(work, caller, "webhook.update", webhook_id)
        return changed


@dataclass(frozen=True, slots=True)
class RotateSecret:
    """Gives a webhook a new secret. The former ones sign beside it for a while, so that its receiver can change over."""

    vault: Vault

    async def __call__(
        self, work: Work, caller: Caller, webhook_id: WebhookId, *, overlap: timedelta
    ) -> tuple[Webhook, Secret]:
        """The webhook and its new secret, which can be shown only now. Raises `NotFound`."""
        webhook = await _locked(work, caller, webhook_id)
        now = await work.accounts.now()
        key, held = await work.webhooks.key(webhook_id), await work.webhooks.secrets(webhook_id)
        secret, version = new_webhook_secret(), held[0].version + 1
        sealed = seal_webhook_secret(self.vault, webhook_id, key, secret, version=version)
        await work.webhooks.rotate(webhook_id, sealed, former_until=now + overlap)
        changed = replace(webhook, updated_at=now)
        await work.webhooks.save(changed)
        await _audit(work, caller, "webhook.rotate_secret", webhook_id)
        return changed, secret


@dataclass(frozen=True, slots=True)
class DeleteWebhook:
    """Deletes a webhook. Nothing is sent to it any more, but for what is on its way; its deliveries go with it."""

    async def __call__(self, work: Work, caller: Caller, webhook_id: WebhookId) -> None:
        """Raises `NotFound`."""
        await _locked(work, caller, webhook_id)
        await work.webhooks.delete(webhook_id)
        await _audit(work, caller, "webhook.delete", webhook_id)


def _changed(webhook: Webhook, change: WebhookChange, *, now: datetime) -> Webhook:
    description = webhook.description if change.description is None else change.description
    types = webhook.types if change.types is None else change.types
    return replace(
        webhook,
        url=webhook.url if change.url is None else change.url,
        description=None if change.no_description else description,
        types=None if change.all_types else types,
        ordered=webhook.ordered if change.ordered is None else change.ordered,
        updated_at=now,
    )


async def _locked(work: Work, caller: Caller, webhook_id: WebhookId) -> Webhook:
    found = await work.webhooks.lock(webhook_id, caller.environment)
    if found is None:
        raise NotFound("webhook")
    return found


async def _audit(work: Work, caller: Caller, action: str, webhook_id: WebhookId) -> None:
    await work.audit(AuditEntry(caller, action, format_id(IdKind.WEBHOOK, webhook_id)))
