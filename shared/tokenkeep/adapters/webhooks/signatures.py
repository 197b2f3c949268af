"""Signatures of deliveries, by Standard Webhooks."""

from collections.abc import Sequence
from datetime import datetime

from standardwebhooks.webhooks import Webhook

from tokenkeep.domain.secret import Secret


def sign_delivery(secrets: Sequence[Secret], message_id: str, at: datetime, body: str) -> str:
    """The header `webhook-signature`: one signature for each secret that is valid, a blank between them. `at` is in UTC."""
    return " ".join(Webhook(secret.reveal()).sign(message_id, at, body) for secret in secrets)
