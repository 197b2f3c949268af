"""Delete a source of which nothing is in custody any more."""

from dataclasses import dataclass

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.work import Work
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import SourceInUse
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.ids import IdKind, SourceId, format_id

_MOST_COUNTED = 1_000


@dataclass(frozen=True, slots=True)
class DeleteSource:
    """Deletes a source with its secrets and open connect sessions. Accounts are never ended by it (ADR 0051)."""

    async def __call__(self, work: Work, caller: Caller, source_id: SourceId) -> None:
        """Returns with the deletion about to be committed.

        Raises:
            NotFound: There is no such source in this environment.
            SourceInUse: It has accounts, of whatever state, or its provider is still to be told to revoke grants.
        """
        if not await work.sources.lock_for_deletion(source_id, caller.environment):
            raise NotFound("source")
        uses = await work.sources.uses(source_id, most=_MOST_COUNTED + 1)
        if uses.accounts or uses.revocations:
            raise SourceInUse(accounts=uses.accounts, most=_MOST_COUNTED)
        await work.sources.delete(source_id)
        await work.audit(AuditEntry(caller, "source.delete", format_id(IdKind.SOURCE, source_id)))
