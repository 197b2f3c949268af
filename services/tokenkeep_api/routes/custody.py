"""`/v1/accounts/{id}`: credentials replaced, handed back, and erased with their account."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from tokenkeep.adapters.postgres.unit_of_work import PostgresWork
from tokenkeep.application.credential_stores import Fetched, having_fetched
from tokenkeep.application.obtain_credentials import Obtained, Purpose
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.events import rfc3339
from tokenkeep.domain.ids import AccountId, IdKind, parse_id
from tokenkeep_api import rendering
from tokenkeep_api.answers import AccountAnswer, Data, ErasureAnswer, ReleaseAnswer
from tokenkeep_api.authentication import needs
from tokenkeep_api.bodies import Nothing
from tokenkeep_api.creations import Spent
from tokenkeep_api.credential_bodies import CredentialMembers, read_credentials
from tokenkeep_api.described_problems import also
from tokenkeep_api.fields import Verify
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

Writer = Annotated[Caller, needs(Scope.ACCOUNTS_WRITE)]
Releaser = Annotated[Caller, needs(Scope.CREDENTIALS_RELEASE)]

_MEMBER = "credentials"


class _BareCredentialsRoute(StrictRoute):
    """A route whose body is what creations have in their member `credentials`: fields are named from there on."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, telling fields as its callers know them."""
        handle = super().get_route_handler()

        async def renamed(request: Request) -> Response:
            try:
                return await handle(request)
            except InvalidInput as error:
                if error.field == _MEMBER:
                    raise type(error)("body", error.detail) from None
                if not error.field.startswith(f"{_MEMBER}."):
                    raise
                raise type(error)(error.field.removeprefix(f"{_MEMBER}."), error.detail) from None

        return renamed


def routes(wired: Wired) -> APIRouter:
    """The routes that change who holds an account's credentials."""
    router = APIRouter(prefix="/v1/accounts", tags=["accounts"], route_class=_BareCredentialsRoute)
    _add_replacement(router, wired)
    _add_release(router, wired)

    @router.delete("/{account_id}", status_code=204)
    async def delete_account(request: Request, account_id: str, caller: Writer) -> Response:
        """Erase the account at once. Its grant is revoked at the provider, where that can be done, right afterwards.

        How that ended is told in the audit trail (`account.revoke`), for the account is gone.
        """
        parsed, cause = _parsed(account_id), request.state.correlation_id

        async def delete(fetched: Fetched) -> None:
            async with wired.works() as work:
                await wired.delete_account(work, caller, parsed, correlation_id=cause, fetched=fetched)

        await having_fetched(wired.stores, delete)
        return Response(status_code=204)

    return router


def _add_replacement(router: APIRouter, wired: Wired) -> None:
    @router.put("/{account_id}/credentials", response_model=Data[AccountAnswer], responses=also(409))
    async def replace_credentials(
        request: Request,
        account_id: str,
        body: Annotated[CredentialMembers, Body()],
        caller: Writer,
        *,
        verify: Verify = True,
    ) -> Response:
        """Authorise the account again, with credentials of its provider's kind. Its id stays; it is active then.

        The credentials are verified first, as when an account is created. Those of another account of the provider's than the
        verified one are refused: 422 `external_id_mismatch`. If their provider does not tell whose they are, or is not asked, they
        are stored, and `external_id_verified` is false until it tells the same external id (`POST …/verify`).

        The same authorization code again, within a day, gives the same answer: the provider is not asked twice, which could end
        the grant (RFC 6749, section 4.1.2). The refresh token that the account came with last, sent again after it was presented,
        changes nothing, nor does the access token beside it, for what is stored came of it: once the provider has taken them, or
        is not asked, the answer is the account as it stands, or 409 `account_exists` with its own `account_id` if it is not active.
        """
        parsed = _parsed(account_id)
        async with wired.works.reading() as work:
            known = await work.accounts.view(parsed, caller.environment)
            source = None if known is None else await work.sources.get(known.account.source_id, caller.environment)
        if known is None or source is None:
            raise NotFound("account")
        wanted = read_credentials(wired.foundation.catalogue.get(source.provider), source, body)
        purpose = Purpose(source.id, caller.environment, known.properties, verify=verify, owner=known.account.owner)

        async def stored(work: PostgresWork, obtained: Obtained, fetched: Fetched | None = None) -> dict[str, Any]:
            view = await wired.replace_credentials(
                work,
                caller,
                parsed,
                tokens=obtained.tokens,
                correlation_id=request.state.correlation_id,
                checked=obtained.checked,
                fetched=fetched,
            )
            return rendering.account(view, wired.foundation.catalogue)

        spent = Spent.by(source.id, wanted)
        if spent is not None:
            return await wired.creations.prepared(
                request,
                caller,
                lambda: wired.obtain_credentials(wanted, purpose, exchanged=spent.note_exchange),
                stored,
                spent=spent,
                status=200,
            )
        obtained = await wired.obtain_credentials(wanted, purpose)
        return rendering.data(
            await having_fetched(
                wired.stores, lambda fetched: wired.persist(lambda work: stored(work, obtained, fetched))
            )
        )


def _add_release(router: APIRouter, wired: Wired) -> None:
    @router.post("/{account_id}/release", response_model=Data[ReleaseAnswer], responses=also(409, 410))
    async def release_account(
        request: Request, account_id: str, caller: Releaser, _body: Nothing | None = None
    ) -> Response:
        """Hand the refresh token back. Waits for a refresh in flight; the account is disabled then.

        Asked again, it gives the same answer until it is confirmed, or until `confirm_before`. After that the credentials are
        erased. `in_doubt` is there when the refresh token was presented and the answer never had: it may be used up.
        """
        released = await wired.release_custody(caller, _parsed(account_id), correlation_id=request.state.correlation_id)
        return rendering.data(rendering.released(released))

    @router.post("/{account_id}/release/confirm", response_model=Data[ErasureAnswer], responses=also(409))
    async def confirm_release(account_id: str, caller: Releaser, _body: Nothing | None = None) -> Response:
        """Say that the credentials have arrived where they belong. They are erased here."""
        async with wired.works() as work:
            erased_at = await wired.confirm_release(work, caller, _parsed(account_id))
        return rendering.data({"erased_at": rfc3339(erased_at)})


def _parsed(text: str) -> AccountId:
    return AccountId(parse_id(IdKind.ACCOUNT, text, field="account_id"))
