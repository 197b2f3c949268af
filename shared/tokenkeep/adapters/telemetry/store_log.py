"""Log lines about the credential store."""

from uuid import UUID

import structlog

from tokenkeep.domain.ids import IdKind, format_id

_log = structlog.get_logger("tokenkeep.credential_stores")


class StoreLog:
    """Hears of credentials that could not be moved."""

    def not_moved(self, account_id: UUID, error: Exception) -> None:
        """They stay where they are; the next round tries again."""
        _log.error(
            "credentials_not_moved", account_id=format_id(IdKind.ACCOUNT, account_id), error=type(error).__name__
        )
