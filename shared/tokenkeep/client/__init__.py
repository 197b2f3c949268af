"""The SDK: what programs use that have their accounts kept by tokenkeep.

    from tokenkeep.client import Tokenkeep

    client = Tokenkeep(redis="redis://…")
    client.events.subscribe(types=["account.disabled"], group="billing").run(handle)

Needs nothing of the server's: `pip install tokenkeep`, and `tokenkeep[streams]` to read the Redis stream.
"""

from tokenkeep.client.client import AsyncTokenkeep, Tokenkeep
from tokenkeep.client.errors import ClientError, NotAnEvent, NotConfigured, StreamRefused, Unreachable
from tokenkeep.client.event import Event
from tokenkeep.client.retrying import Reject, Retry, RetryPolicy
from tokenkeep.client.running import Subscription
from tokenkeep.client.running_async import AsyncSubscription

__all__ = [
    "AsyncSubscription",
    "AsyncTokenkeep",
    "ClientError",
    "Event",
    "NotAnEvent",
    "NotConfigured",
    "Reject",
    "Retry",
    "RetryPolicy",
    "StreamRefused",
    "Subscription",
    "Tokenkeep",
    "Unreachable",
]
