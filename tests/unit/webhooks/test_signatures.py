"""Signatures of deliveries, held to the library that receivers verify them with."""

from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tokenkeep.adapters.webhooks.signatures import sign_delivery
from tokenkeep.application.webhook_secrets import new_webhook_secret


def test_whoever_holds_one_of_the_secrets_can_verify_and_nobody_else() -> None:
    first, second, other = (new_webhook_secret() for _ in range(3))
    now, body = datetime.now(UTC), '{"a":"\u00e4"}'
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": sign_delivery([first, second], "evt_1", now, body),
    }
    for secret in (first, second):
        assert Webhook(secret.reveal()).verify(body.encode(), headers) == {"a": "\u00e4"}
    with pytest.raises(WebhookVerificationError):
        Webhook(other.reveal()).verify(body.encode(), headers)


def test_no_two_secrets_are_the_same() -> None:
    assert len({new_webhook_secret().reveal() for _ in range(100)}) == 100
