"""The SDK: what programs use that have their accounts kept by tokenkeep.

    from tokenkeep.client import Tokenkeep, unauthorized

    client = Tokenkeep("https://tokenkeep.example.com", "tk_…", redis="redis://…")
    client.events.subscribe(types=["account.disabled"], group="billing").run(handle)
    client.events.send(unauthorized(account_id, token))

Needs nothing that only servers have: `pip install tokenkeep`, and `tokenkeep[streams]` to read the Redis stream.
"""

from tokenkeep.client.client import AsyncTokenkeep, Tokenkeep
from tokenkeep.client.cursor_stores import AsyncCursorStore, CursorStore, FileCursorStore, MemoryCursorStore
from tokenkeep.client.dead_letters import AsyncDeadLetterBox, DeadLetter, DeadLetterBox, FileDeadLetters
from tokenkeep.client.errors import (
    ApiProblem,
    ClientError,
    CursorInUse,
    GaveUp,
    NotAnEvent,
    NotConfigured,
    StreamRefused,
    Unreachable,
)
from tokenkeep.client.event import Event
from tokenkeep.client.event_calls import Page
from tokenkeep.client.events import DeadLetters, Events
from tokenkeep.client.events_async import AsyncDeadLetters, AsyncEvents
from tokenkeep.client.reports import (
    Reception,
    Report,
    disable_requested,
    enable_requested,
    refresh_requested,
    revoked,
    unauthorized,
)
from tokenkeep.client.retrying import Reject, Retry, RetryPolicy
from tokenkeep.client.running import Subscription
from tokenkeep.client.running_async import AsyncSubscription
from tokenkeep.domain.errors import CursorExpired, InvalidInput, NotAuthenticated, TokenkeepError

__all__ = [
    "ApiProblem",
    "AsyncCursorStore",
    "AsyncDeadLetterBox",
    "AsyncDeadLetters",
    "AsyncEvents",
    "AsyncSubscription",
    "AsyncTokenkeep",
    "ClientError",
    "CursorExpired",
    "CursorInUse",
    "CursorStore",
    "DeadLetter",
    "DeadLetterBox",
    "DeadLetters",
    "Event",
    "Events",
    "FileCursorStore",
    "FileDeadLetters",
    "GaveUp",
    "InvalidInput",
    "MemoryCursorStore",
    "NotAnEvent",
    "NotAuthenticated",
    "NotConfigured",
    "Page",
    "Reception",
    "Reject",
    "Report",
    "Retry",
    "RetryPolicy",
    "StreamRefused",
    "Subscription",
    "Tokenkeep",
    "TokenkeepError",
    "Unreachable",
    "disable_requested",
    "enable_requested",
    "refresh_requested",
    "revoked",
    "unauthorized",
]
