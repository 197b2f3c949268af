"""The SDK: what programs use that have their accounts kept by tokenkeep.

    from tokenkeep.client import Tokenkeep, TokenkeepAuth

    client = Tokenkeep("https://tokenkeep.example.com", "tk_…", redis="redis://…")
    token = client.token("acc_…")                                       # fresh, from memory while it is
    api = httpx.Client(auth=TokenkeepAuth(client, "acc_…"))             # and put into each request, and replaced on a 401
    client.events.subscribe(types=["account.disabled"], group="billing").run(handle)

Needs nothing that only servers have: `pip install tokenkeep`, and `tokenkeep[streams]` to read the Redis stream.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenkeep.client.answers.accounts import (
        Account,
        Attempt,
        Disabled,
        Erasure,
        ImportResult,
        InDoubt,
        LastError,
        RefreshAsked,
        Released,
        Signature,
        Verification,
    )
    from tokenkeep.client.answers.connecting import (
        Authorized,
        ConnectSession,
        NewConnectSession,
        Redirect,
    )
    from tokenkeep.client.answers.keys import (
        ApiKey,
        AuditEntry,
    )
    from tokenkeep.client.answers.sources import (
        AccountSchema,
        Provider,
        Source,
    )
    from tokenkeep.client.answers.token import (
        Token,
    )
    from tokenkeep.client.answers.webhooks import (
        Delivery,
        Redelivery,
        Trial,
        Webhook,
        WebhookDisabled,
    )
    from tokenkeep.client.auth import (
        TokenkeepAuth,
    )
    from tokenkeep.client.calls import (
        UNSET,
        Listing,
        Unset,
    )
    from tokenkeep.client.client import (
        AsyncTokenkeep,
        Tokenkeep,
    )
    from tokenkeep.client.cursor_stores import (
        AsyncCursorStore,
        CursorStore,
        FileCursorStore,
        MemoryCursorStore,
    )
    from tokenkeep.client.dead_letters import (
        AsyncDeadLetterBox,
        DeadLetter,
        DeadLetterBox,
        FileDeadLetters,
    )
    from tokenkeep.client.errors import (
        AccountDisabled,
        AccountExists,
        AccountNotReady,
        ApiProblem,
        ClientError,
        Conflict,
        CredentialsErased,
        CredentialsRejected,
        CursorExpired,
        CursorInUse,
        DeadlineExceeded,
        GaveUp,
        InvalidRequest,
        NotAllowed,
        NotAnEvent,
        NotAuthenticated,
        NotConfigured,
        NotFound,
        OriginNotAllowed,
        RateLimited,
        ReauthorizationRequired,
        ServiceUnavailable,
        SourcePaused,
        StreamRefused,
        TemporaryProblem,
        TokenUnavailable,
        Unreachable,
        UnreadableAnswer,
    )
    from tokenkeep.client.event import (
        Event,
    )
    from tokenkeep.client.event_calls import (
        Page,
    )
    from tokenkeep.client.events import (
        DeadLetters,
        Events,
    )
    from tokenkeep.client.events_async import (
        AsyncDeadLetters,
        AsyncEvents,
    )
    from tokenkeep.client.following import (
        AsyncFollowing,
        Following,
    )
    from tokenkeep.client.reading import (
        Answer,
    )
    from tokenkeep.client.reports import (
        Reception,
        Report,
        disable_requested,
        enable_requested,
        refresh_requested,
        revoked,
        unauthorized,
    )
    from tokenkeep.client.retrying import (
        Reject,
        Retry,
        RetryPolicy,
    )
    from tokenkeep.client.running import (
        Subscription,
    )
    from tokenkeep.client.running_async import (
        AsyncSubscription,
    )
    from tokenkeep.domain.account import (
        AccountState,
        AuthType,
        Custody,
        DisabledReason,
        FailureReason,
        Health,
    )
    from tokenkeep.domain.api_key import (
        Scope,
    )
    from tokenkeep.domain.attempt import (
        Outcome,
        Resolution,
        Trigger,
    )
    from tokenkeep.domain.connect_session import (
        ConnectFailure,
        SessionState,
    )
    from tokenkeep.domain.errors import (
        InvalidInput,
        TokenkeepError,
    )
    from tokenkeep.domain.events import (
        EventType,
    )
    from tokenkeep.domain.source import (
        SourceState,
    )
    from tokenkeep.domain.webhook_tries import (
        DeliveryState,
    )

_HOMES = {
    "tokenkeep.client.answers.accounts": "Account Attempt Disabled Erasure ImportResult InDoubt LastError RefreshAsked Released Signature Verification",
    "tokenkeep.client.answers.connecting": "Authorized ConnectSession NewConnectSession Redirect",
    "tokenkeep.client.answers.keys": "ApiKey AuditEntry",
    "tokenkeep.client.answers.sources": "AccountSchema Provider Source",
    "tokenkeep.client.answers.token": "Token",
    "tokenkeep.client.answers.webhooks": "Delivery Redelivery Trial Webhook WebhookDisabled",
    "tokenkeep.client.auth": "TokenkeepAuth",
    "tokenkeep.client.calls": "UNSET Listing Unset",
    "tokenkeep.client.client": "AsyncTokenkeep Tokenkeep",
    "tokenkeep.client.cursor_stores": "AsyncCursorStore CursorStore FileCursorStore MemoryCursorStore",
    "tokenkeep.client.dead_letters": "AsyncDeadLetterBox DeadLetter DeadLetterBox FileDeadLetters",
    "tokenkeep.client.errors": "AccountDisabled AccountExists AccountNotReady ApiProblem ClientError Conflict CredentialsErased CredentialsRejected CursorExpired CursorInUse DeadlineExceeded GaveUp InvalidRequest NotAllowed NotAnEvent NotAuthenticated NotConfigured NotFound OriginNotAllowed RateLimited ReauthorizationRequired ServiceUnavailable SourcePaused StreamRefused TemporaryProblem TokenUnavailable Unreachable UnreadableAnswer",
    "tokenkeep.client.event": "Event",
    "tokenkeep.client.event_calls": "Page",
    "tokenkeep.client.events": "DeadLetters Events",
    "tokenkeep.client.events_async": "AsyncDeadLetters AsyncEvents",
    "tokenkeep.client.following": "AsyncFollowing Following",
    "tokenkeep.client.reading": "Answer",
    "tokenkeep.client.reports": "Reception Report disable_requested enable_requested refresh_requested revoked unauthorized",
    "tokenkeep.client.retrying": "Reject Retry RetryPolicy",
    "tokenkeep.client.running": "Subscription",
    "tokenkeep.client.running_async": "AsyncSubscription",
    "tokenkeep.domain.account": "AccountState AuthType Custody DisabledReason FailureReason Health",
    "tokenkeep.domain.api_key": "Scope",
    "tokenkeep.domain.attempt": "Outcome Resolution Trigger",
    "tokenkeep.domain.connect_session": "ConnectFailure SessionState",
    "tokenkeep.domain.errors": "InvalidInput TokenkeepError",
    "tokenkeep.domain.events": "EventType",
    "tokenkeep.domain.source": "SourceState",
    "tokenkeep.domain.webhook_tries": "DeliveryState",
}
"""Where each name lives. It is loaded when it is asked for first: who only sends events waits for nothing else."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


if not TYPE_CHECKING:  # or a misspelt name would be of any type

    def __getattr__(name: str) -> Any:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "UNSET",
    "Account",
    "AccountDisabled",
    "AccountExists",
    "AccountNotReady",
    "AccountSchema",
    "AccountState",
    "Answer",
    "ApiKey",
    "ApiProblem",
    "AsyncCursorStore",
    "AsyncDeadLetterBox",
    "AsyncDeadLetters",
    "AsyncEvents",
    "AsyncFollowing",
    "AsyncSubscription",
    "AsyncTokenkeep",
    "Attempt",
    "AuditEntry",
    "AuthType",
    "Authorized",
    "ClientError",
    "Conflict",
    "ConnectFailure",
    "ConnectSession",
    "CredentialsErased",
    "CredentialsRejected",
    "CursorExpired",
    "CursorInUse",
    "CursorStore",
    "Custody",
    "DeadLetter",
    "DeadLetterBox",
    "DeadLetters",
    "DeadlineExceeded",
    "Delivery",
    "DeliveryState",
    "Disabled",
    "DisabledReason",
    "Erasure",
    "Event",
    "EventType",
    "Events",
    "FailureReason",
    "FileCursorStore",
    "FileDeadLetters",
    "Following",
    "GaveUp",
    "Health",
    "ImportResult",
    "InDoubt",
    "InvalidInput",
    "InvalidRequest",
    "LastError",
    "Listing",
    "MemoryCursorStore",
    "NewConnectSession",
    "NotAllowed",
    "NotAnEvent",
    "NotAuthenticated",
    "NotConfigured",
    "NotFound",
    "OriginNotAllowed",
    "Outcome",
    "Page",
    "Provider",
    "RateLimited",
    "ReauthorizationRequired",
    "Reception",
    "Redelivery",
    "Redirect",
    "RefreshAsked",
    "Reject",
    "Released",
    "Report",
    "Resolution",
    "Retry",
    "RetryPolicy",
    "Scope",
    "ServiceUnavailable",
    "SessionState",
    "Signature",
    "Source",
    "SourcePaused",
    "SourceState",
    "StreamRefused",
    "Subscription",
    "TemporaryProblem",
    "Token",
    "TokenUnavailable",
    "Tokenkeep",
    "TokenkeepAuth",
    "TokenkeepError",
    "Trial",
    "Trigger",
    "Unreachable",
    "UnreadableAnswer",
    "Unset",
    "Verification",
    "Webhook",
    "WebhookDisabled",
    "disable_requested",
    "enable_requested",
    "refresh_requested",
    "revoked",
    "unauthorized",
]
