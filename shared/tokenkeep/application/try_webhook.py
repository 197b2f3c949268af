"""Send a test event to a webhook, and tell what came back."""

from dataclasses import dataclass

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.ports import Vault
from tokenkeep.application.post_webhook import PostWebhook
from tokenkeep.application.webhook_secrets import open_webhook_secrets
from tokenkeep.application.work import Works
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.ids import IdKind, WebhookId, format_id
from tokenkeep.domain.webhook import trial_event
from tokenkeep.domain.webhook_tries import Reply


@dataclass(frozen=True, slots=True)
class TryWebhook:
    """One POST, signed as deliveries are. It is no delivery: nothing is kept of it, and nothing follows from how it ends."""

    works: Works
    vault: Vault
    post: PostWebhook

    async def __call__(self, caller: Caller, webhook_id: WebhookId) -> tuple[str, Reply]:
        """The test event's id and what came of it.

        Raises:
            NotFound: There is no such webhook in this environment.
            VaultError: Its secret can't be opened.
        """
        async with self.works() as work:
            found = await work.webhooks.view(webhook_id, caller.environment)
            if found is None:
                raise NotFound("webhook")
            now = await work.accounts.now()
            key, sealed = await work.webhooks.key(webhook_id), await work.webhooks.secrets(webhook_id)
            await work.audit(AuditEntry(caller, "webhook.test", format_id(IdKind.WEBHOOK, webhook_id)))
        event = trial_event(found.webhook, now=now)
        secrets = open_webhook_secrets(self.vault, webhook_id, key, sealed)
        return format_id(IdKind.EVENT, event.id), await self.post(found.webhook.url, event, secrets)
