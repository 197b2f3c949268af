"""`/v1/audit`: the audit trail."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from tokenkeep.adapters.postgres.audit import audit_of
from tokenkeep.application.auditing import AuditFilter
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep_api import rendering
from tokenkeep_api.answers import AuditAnswer, Page
from tokenkeep_api.authentication import needs
from tokenkeep_api.fields import Moment
from tokenkeep_api.paging import DEFAULT_LIMIT, MOST, id_after, split
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

# What the trail's texts are made of: ids, dotted actions, codes. Others would find nothing.
_Word = Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")]


class AuditQuery(BaseModel):
    """Which entries to list: those that fit all that is given. `since` is included, `until` is not."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    actor: _Word = None
    action: _Word = None
    target: _Word = None
    result: _Word = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=MOST)] = DEFAULT_LIMIT
    cursor: Annotated[str | None, Field(max_length=100, pattern="^[A-Za-z0-9_-]*$")] = None

    def filter(self) -> AuditFilter:
        """The filter."""
        return AuditFilter(self.actor, self.action, self.target, self.result, self.since, self.until)


def routes(wired: Wired) -> APIRouter:
    """The route of the audit trail."""
    router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=StrictRoute)

    @router.get("", response_model=Page[AuditAnswer])
    async def list_audit(
        query: Annotated[AuditQuery, Query()], caller: Annotated[Caller, needs(Scope.AUDIT_READ)]
    ) -> Response:
        """Who did what, newest first. Reads of credentials, and what was refused, appear within a second or so, equal ones counted as one."""
        wanted, before = query.filter(), id_after(query.cursor)
        async with wired.works.reading() as work:
            found = await audit_of(work.connection, caller.environment, wanted, before=before, limit=query.limit + 1)
        shown, next_cursor = split(found, query.limit, lambda entry: entry.id)
        return rendering.page([rendering.audit(entry) for entry in shown], next_cursor)

    return router
