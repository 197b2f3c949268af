"""Signatures of callouts, by Standard Webhooks."""

import binascii
from datetime import datetime

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from tokenkeep.application.callout_secrets import FIELD
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret


def sign_callout(secret: Secret, message_id: str, at: datetime, body: str) -> str:
    """The header `webhook-signature`. `at` is in UTC.

    Raises:
        InvalidInput: The secret is none by Standard Webhooks.
    """
    try:
        signer = Webhook(secret.reveal())
    except (EmptyWebhookSecretError, binascii.Error):
        # From None: the library's message may speak of the secret.
        raise InvalidInput(FIELD, "does not serve to sign") from None
    return signer.sign(message_id, at, body)
