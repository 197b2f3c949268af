"""What became of revocations, as log lines and a metric. A deleted account has hardly another place to tell it."""

from datetime import timedelta

import structlog

from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.application.revocations import DueRevocation, RevocationEnd
from tokenkeep.domain.ids import IdKind, format_id

_log = structlog.get_logger("tokenkeep.revocation")


class RevocationTelemetry:
    """Counts the ends of revocations by provider, and logs them by the id of the account that the grant belonged to."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def ended(self, due: DueRevocation, provider: str | None, end: RevocationEnd, error: str | None) -> None:
        """Nobody asks again: it is revoked, or the provider won't, or it was tried for long enough and may be alive."""
        self._metrics.revocation_ended(provider, end)
        names = _names(due)
        match end:
            case RevocationEnd.REVOKED:
                _log.info("grant_revoked", provider=provider, **names)
            case RevocationEnd.REFUSED:
                _log.warning("grant_revocation_refused", provider=provider, **names)
            case RevocationEnd.SUPERSEDED:
                _log.info("grant_revocation_superseded", provider=provider, **names)
            case RevocationEnd.GIVEN_UP:
                _log.error("grant_revocation_given_up", provider=provider, error=error, **names)

    def postponed(self, due: DueRevocation, wait: timedelta, error: str | None) -> None:
        """The provider could not be had, or did not know us; it is asked again later."""
        _log.info("grant_revocation_postponed", wait_s=round(wait.total_seconds()), error=error, **_names(due))


def _names(due: DueRevocation) -> dict[str, object]:
    return {
        "account_id": format_id(IdKind.ACCOUNT, due.wanted.account_id),
        "source_id": format_id(IdKind.SOURCE, due.wanted.source_id),
        "tries": due.tries,
    }
