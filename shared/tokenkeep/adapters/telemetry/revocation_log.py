"""What became of revocations, as log lines. A deleted account has no other place to tell it."""

import structlog

from tokenkeep.application.revoke_grants import DueRevocation
from tokenkeep.domain.ids import IdKind, format_id

_log = structlog.get_logger("tokenkeep.revocation")


class RevocationLog:
    """Logs revocations by the id of the account that they belonged to."""

    def revoked(self, due: DueRevocation) -> None:
        """The provider says that the token is worth nothing any more."""
        _log.info("grant_revoked", **_names(due))

    def refused(self, due: DueRevocation) -> None:
        """The provider won't revoke it, or it is not known any more where to ask. Nobody asks again."""
        _log.warning("grant_revocation_refused", **_names(due))

    def postponed(self, due: DueRevocation, error: str | None) -> None:
        """The provider could not be had, or did not know us; it is asked again later."""
        _log.info("grant_revocation_postponed", error=error, **_names(due))

    def given_up(self, due: DueRevocation, error: str | None) -> None:
        """It was tried for long enough. The grant may be alive at the provider."""
        _log.error("grant_revocation_given_up", error=error, **_names(due))


def _names(due: DueRevocation) -> dict[str, object]:
    return {
        "account_id": format_id(IdKind.ACCOUNT, due.wanted.account_id),
        "source_id": format_id(IdKind.SOURCE, due.wanted.source_id),
        "tries": due.tries,
    }
