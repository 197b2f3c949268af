"""`/v1/audit`: the audit trail."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from tokenkeep.adapters.postgres.audit import audit_of
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep_api import rendering
from tokenkeep_api.answers import AuditAnswer, Page
from tokenkeep_api.authentication import needs
from tokenkeep_api.paging import DEFAULT_LIMIT, Cursor, Limit, id_after, split
from tokenkeep_api.request_bodies import StrictRoute
from tokenkeep_api.wired import Wired


def routes(wired: Wired) -> APIRouter:
    """The route of the audit trail."""
    router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=StrictRoute)

    @router.get("", response_model=Page[AuditAnswer])
    async def list_audit(
        caller: Annotated[Caller, needs(Scope.AUDIT_READ)], limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Response:
        """Who did what, newest first. Reads of credentials appear within a second or so, equal ones counted as one."""
        async with wired.works.reading() as work:
            found = await audit_of(work.connection, caller.environment, before=id_after(cursor), limit=limit + 1)
        shown, next_cursor = split(found, limit, lambda entry: entry.id)
        return rendering.page([rendering.audit(entry) for entry in shown], next_cursor)

    return router
