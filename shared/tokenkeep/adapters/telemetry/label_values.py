"""The values that labels may take: closed lists, so that nothing from outside makes series without end."""

from typing import Final

from tokenkeep.application.accept_events import ReceptionStatus
from tokenkeep.application.admission_ports import Delay
from tokenkeep.application.inbox import Outcome as InboxOutcome
from tokenkeep.application.settle_notices import NoticeResult
from tokenkeep.application.take_provider_hook import CallResult
from tokenkeep.domain.incoming_event import IncomingType
from tokenkeep.domain.webhook import WebhookDisabledReason

VEND_RESULTS: Final = frozenset(
    {
        "stored",
        "refreshed",
        "account_disabled",
        "account_pending",
        "reauthorization_required",
        "unavailable",
        "source_paused",
    }
)
"""How a request for a token may end: from store, by a refresh, or by the code of its refusal. Who finds the source paused, and the token
run out, is sent away as for `unavailable`."""

DOUBT_RESOLUTIONS: Final = frozenset({"recovered", "lost", "superseded"})
"""How a doubt may end: the grant is alive, it is lost, or a re-authorisation or deletion made it moot."""

INBOX_TYPES: Final = frozenset(kind.value for kind in IncomingType)
"""The types of events that services may send."""

INBOX_RESULTS: Final = frozenset({*(status.value for status in ReceptionStatus), *(end.value for end in InboxOutcome)})
"""How events are received, and what comes of those that were accepted."""

HOOK_RESULTS: Final = frozenset({*(one.value for one in CallResult), *(one.value for one in NoticeResult)})
"""What becomes of providers' calls, and of the notices that they bring."""

REFUSALS: Final = frozenset({"key_rate", "address_rate"})
"""Why a request was turned away: its API key asks too often, or an address without one."""

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
"""The methods of requests."""

WEBHOOK_OUTCOMES: Final = frozenset({"delivered", "failed", "given_up"})
"""What comes of a try to deliver an event: it failed and is tried again, or it was the last one."""

WEBHOOK_DISABLED_REASONS: Final = frozenset(reason.value for reason in WebhookDisabledReason)
"""Why webhooks are disabled."""

DELAYS: Final = frozenset(delay.value for delay in Delay)
"""What accounts wait for that can't go when they are due."""

REFRESH_FAULTS: Final = frozenset({"not_prepared", "abandoned", "settle_delayed"})
"""What goes wrong with a refresh on our side: no request could be made, it ended in an error of ours or of a store's, or its answer
is not durable yet."""

SPOOLED: Final = frozenset({"written", "failed", "drained", "unreadable"})
"""What becomes of an answer that the database can't take: it is in the spool, could not be put there, was stored from there by
whichever process drained it, or can't be opened by it."""

JOB_RESULTS: Final = frozenset({"done", "postponed", "failed"})
"""How a run of a scheduler's job ends: well, put off because a store is away, or in an error of ours."""

OTHER: Final = "other"
"""The label of a value that is not among those above: what comes from outside can't make series without end."""


def known(value: str, values: frozenset[str]) -> str:
    """The value, if it is among these, else `OTHER`."""
    return value if value in values else OTHER
