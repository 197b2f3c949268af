"""`/v1/connect/sessions`: links by which end users connect accounts, and what came of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tokenkeep.adapters.postgres.unit_of_work import PostgresWork
from tokenkeep.application.make_connect_session import WantedSession
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.ids import AccountId, IdKind, SessionId, SourceId, parse_id
from tokenkeep.domain.secret import Secret
from tokenkeep_api import rendering
from tokenkeep_api.answers import ConnectSessionAnswer, Data, NewConnectSessionAnswer
from tokenkeep_api.authentication import needs
from tokenkeep_api.bodies import ConnectSessionBody
from tokenkeep_api.described_problems import also
from tokenkeep_api.return_addresses import check_return_url
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

Reader = Annotated[Caller, needs(Scope.ACCOUNTS_READ)]
Writer = Annotated[Caller, needs(Scope.ACCOUNTS_WRITE)]
Result = Annotated[
    str | None,
    Query(
        max_length=100,
        description="The `result` that the user's browser brought to your `return_url`. It is checked and used up.",
    ),
]


def routes(wired: Wired) -> APIRouter:
    """The routes of connect sessions."""
    router = APIRouter(prefix="/v1/connect/sessions", tags=["connect"], route_class=StrictRoute)
    public_url = wired.foundation.settings.external_url

    @router.post("", status_code=201, response_model=Data[NewConnectSessionAnswer], responses=also(404))
    async def create_connect_session(request: Request, body: ConnectSessionBody, caller: Writer) -> Response:
        """Make a link, good for ten minutes, by which an end user connects an account at the source's provider.

        Users of OAuth 2 consent at their provider. Who has a key, a password or a token in hand gets a form, and so does who brings a
        machine's own client; what is filled in is checked as `POST /v1/accounts` checks it. 422 says why a source has no page.

        With `account_id` that account is authorised again, under its id. Once it is done the browser is sent to `return_url`
        with `account_id`, `session_id`, `status` and a `result`; without one, it is told so on a page of ours.

        `properties` are laid over those of that account once its user has reconnected it, and not before. Where it has credentials,
        they take the same scopes as in `PATCH /v1/accounts/{account_id}`: `credentials:read` or `credentials:release`, if an address
        that such credentials are sent to would be another one.
        """
        if body.return_url is not None:
            check_return_url(body.return_url, wired.addresses)

        async def create(work: PostgresWork) -> dict[str, Any]:
            session, token = await wired.connecting.make_session(work, caller, await _wanted(work, caller, body))
            return rendering.new_connect_session(session, f"{public_url}/connect/{token.reveal()}")

        return await wired.creations(request, caller, create)

    @router.get("/{session_id}", response_model=Data[ConnectSessionAnswer], responses=also(409))
    async def get_connect_session(session_id: str, caller: Reader, result: Result = None) -> Response:
        """How a session stands. It can be asked for until a day after its end.

        With `result`, your backend learns that the browser which brought it is the one that connected the account: a wrong one is
        refused, and so is one that was redeemed before.
        """
        parsed = SessionId(parse_id(IdKind.SESSION, session_id, field="session_id"))
        async with wired.works() as work:
            shown = await wired.connecting.redeem_result(
                work, caller, parsed, None if result is None else Secret(result)
            )
        return rendering.data(rendering.connect_session(shown))

    return router


async def _wanted(work: PostgresWork, caller: Caller, body: ConnectSessionBody) -> WantedSession:
    account_id = None
    if body.account_id is not None:
        account_id = AccountId(parse_id(IdKind.ACCOUNT, body.account_id, field="account_id"))
    return WantedSession(
        source_id=await _source_id(work, caller, body, account_id),
        account_id=account_id,
        external_id=body.external_id,
        metadata=body.metadata,
        properties=body.properties,
        scopes=None if body.scopes is None else tuple(dict.fromkeys(body.scopes)),
        return_url=body.return_url,
    )


async def _source_id(
    work: PostgresWork, caller: Caller, body: ConnectSessionBody, account_id: AccountId | None
) -> SourceId:
    """The source: an account that is named has one already."""
    if body.source_id is not None:
        return SourceId(parse_id(IdKind.SOURCE, body.source_id, field="source_id"))
    if account_id is None:
        raise InvalidInput("source_id", "is required")
    view = await work.accounts.view(account_id, caller.environment)
    if view is None:
        raise NotFound("account")
    return view.account.source_id
