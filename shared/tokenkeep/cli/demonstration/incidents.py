"""The incidents that can be rehearsed: what happens, what is to be seen and where, and what ends it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Incident(StrEnum):
    """What `--incident` takes."""

    OUTAGE = "outage"
    SECRET_ROTATED = "secret-rotated"  # noqa: S105  # no password
    MASS_REVOCATION = "mass-revocation"
    REDIS_DOWN = "redis-down"


@dataclass(frozen=True, slots=True)
class Sign:
    """A metric that shows the incident, and nothing else.

    Attributes:
        process: Which process shows it.
        metric: Its name.
        labels: Those of its labels that must be so. The source's id is one where the metric has `source`.
        of_source: Whether it has `source`.
        above: The value from which on it is one.
    """

    process: str
    metric: str
    labels: Mapping[str, str] = field(default_factory=dict)
    of_source: bool = True
    above: float = 0


@dataclass(frozen=True, slots=True)
class Script:
    """One incident. In its texts `{source}` is the source's id.

    Attributes:
        happens: What is done to the system.
        to_be_seen: What it makes of it.
        console: Where the console shows it: paths.
        sign: The metric.
        alert: The one alert of deploy/prometheus that is right.
        alert_after: How long it takes to fire, in words.
        mend: What ends it.
        lasts_s: How long it goes on once it shows, in seconds, if nobody says otherwise: until the alert has fired.
        fewest_accounts: It takes so many to show.
        accounts: How many are connected if nobody says otherwise.
        leaving: How many users really take their grant back meanwhile.
        all_served: Whether callers are to get tokens all the while.
    """

    happens: str
    to_be_seen: str
    console: tuple[str, ...]
    sign: Sign
    alert: str
    alert_after: str
    mend: str
    lasts_s: float
    fewest_accounts: int
    accounts: int = 6
    leaving: int = 0
    all_served: bool = False

    @property
    def runbook(self) -> str:
        """The alert's page, from the root of the repository."""
        return f"docs/runbooks/{self.alert}.md"


_SOURCE_PAGE = "/console/sources/{source}"

SCRIPTS: Mapping[Incident, Script] = {
    Incident.OUTAGE: Script(
        happens="the provider's token endpoint answers 503, or does not answer at all",
        to_be_seen="A few tries fail, and whether they spent their token is in doubt. Then the worker's breaker opens: one account "
        "is sent now and then, the others wait. All accounts stay active, though tokens run out. Nobody is disabled.",
        console=("/console", _SOURCE_PAGE),
        sign=Sign("worker", "tokenkeep_source_resting"),
        alert="TokenkeepEndpointDown",
        alert_after="5 minutes",
        mend="nothing; the provider comes back, and one account finds out",
        lasts_s=360,
        fewest_accounts=4,
    ),
    Incident.SECRET_ROTATED: Script(
        happens="the provider has given the client a new secret that tokenkeep does not know: it answers invalid_client",
        to_be_seen="After three accounts the source pauses itself (invalid_client) and says so once. One account is tried now "
        "and then. All accounts stay active, though tokens run out. Nobody is disabled.",
        console=("/console", _SOURCE_PAGE),
        sign=Sign("scheduler", "tokenkeep_source_paused", {"reason": "invalid_client"}),
        alert="TokenkeepSourcePaused",
        alert_after="1 minute",
        mend='PATCH /v1/sources/{source} {{"client_secret": "..."}}: one account proves it, the others follow',
        lasts_s=120,
        fewest_accounts=3,
    ),
    Incident.MASS_REVOCATION: Script(
        happens="the provider has lost its users: it answers invalid_grant to everybody. Two of them have really left",
        to_be_seen="The first few are believed and disabled. Then the source pauses itself (mass_revocation) and says so once; "
        "nobody is believed any more, and nobody is refreshed until somebody decides.",
        console=("/console", _SOURCE_PAGE),
        sign=Sign("scheduler", "tokenkeep_source_paused", {"reason": "mass_revocation"}),
        alert="TokenkeepSourcePaused",
        alert_after="1 minute",
        mend="POST /v1/sources/{source}/resume, once the provider knows its users again: those who were disabled for it come "
        "back, and those who have really left are disabled",
        lasts_s=120,
        fewest_accounts=5,
        accounts=12,
        leaving=2,
    ),
    Incident.REDIS_DOWN: Script(
        happens="Valkey is killed, and stays away",
        to_be_seen="Refreshes go on: the worker asks the database what is due. Events wait in the database; the stream "
        "tokenkeep:events is silent, while webhooks and the HTTP feed tell everything. Nobody's token runs out.",
        console=("/console", "/console/events"),
        sign=Sign("scheduler", "tokenkeep_outbox_lag_seconds", of_source=False, above=5),
        alert="TokenkeepOutboxLag",
        alert_after="3 minutes",
        mend="Valkey is started again; what waits is published, in order",
        lasts_s=240,
        fewest_accounts=1,
        all_served=True,
    ),
}
"""All of them."""
