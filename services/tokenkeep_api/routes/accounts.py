"""`/v1/accounts`: end users' credentials at sources. The two hot routes are in `tokens`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from tokenkeep.adapters.postgres.accounts import AccountFilter
from tokenkeep.adapters.postgres.event_log import events_of
from tokenkeep.adapters.postgres.unit_of_work import PostgresWork
from tokenkeep.application.create_account import NewAccount
from tokenkeep.application.credential_stores import Fetched, having_fetched
from tokenkeep.application.obtain_credentials import Obtained, Purpose
from tokenkeep.application.revocations import RevocationAsked
from tokenkeep.domain.account import AccountState, AccountView, Health
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.events import cloudevent
from tokenkeep.domain.ids import AccountId, AttemptId, IdKind, SourceId, format_id, parse_id
from tokenkeep.domain.verification import UNCHECKED
from tokenkeep_api import rendering
from tokenkeep_api.account_bodies import AccountBody, AccountChangeBody, SignBody
from tokenkeep_api.answers import (
    AccountAnswer,
    AttemptAnswer,
    Data,
    DisabledAccountAnswer,
    Page,
    RefreshAnswer,
    SignatureAnswer,
)
from tokenkeep_api.authentication import needs
from tokenkeep_api.bodies import Nothing
from tokenkeep_api.creations import Spent
from tokenkeep_api.described_problems import also
from tokenkeep_api.event_answers import EventAnswer
from tokenkeep_api.fields import Moment, Verify
from tokenkeep_api.paging import DEFAULT_LIMIT, MOST, Cursor, Limit, id_after, number_after, split
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

Reader = Annotated[Caller, needs(Scope.ACCOUNTS_READ)]
Writer = Annotated[Caller, needs(Scope.ACCOUNTS_WRITE)]
Signer = Annotated[Caller, needs(Scope.CREDENTIALS_READ)]

_LABEL = "metadata."
_MOST_LABELS = 10


class AccountQuery(BaseModel):
    """Which accounts to list. Besides these, `metadata.KEY=value` filters by metadata."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    source_id: str | None = None
    state: AccountState | None = None
    health: Health | None = None
    external_id: str | None = None
    provider: str | None = None
    expires_before: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=MOST)] = DEFAULT_LIMIT
    cursor: Annotated[str | None, Field(max_length=100, pattern="^[A-Za-z0-9_-]*$")] = None

    def filter(self) -> AccountFilter:
        """The filter. Raises `InvalidInput` for a parameter that does not exist: misspelt, it would list everything."""
        labels = self._labels(self.model_extra or {})
        for name, text in {"external_id": self.external_id, "provider": self.provider, **labels}.items():
            if text is not None and "\0" in name + text:
                raise InvalidInput("query", "a text can't hold the character U+0000")
        source_id = None if self.source_id is None else parse_id(IdKind.SOURCE, self.source_id, field="source_id")
        before: datetime | None = self.expires_before
        return AccountFilter(
            source_id=None if source_id is None else SourceId(source_id),
            state=self.state,
            health=self.health,
            external_id=self.external_id,
            provider=self.provider,
            expires_before=before,
            metadata=labels or None,
        )

    def _labels(self, extra: Mapping[str, Any]) -> dict[str, str]:
        labels: dict[str, str] = {}
        for name, value in extra.items():
            if not name.startswith(_LABEL) or len(labels) == _MOST_LABELS:
                raise InvalidInput(name[:64], "there is no such parameter")
            if not isinstance(value, str):
                raise InvalidInput(name[:64], "must come once")
            labels[name.removeprefix(_LABEL)] = value
        return labels


def routes(wired: Wired) -> APIRouter:
    """The routes of accounts."""
    router = APIRouter(prefix="/v1/accounts", tags=["accounts"], route_class=StrictRoute)
    _add_creation(router, wired)
    _add_reads(router, wired)
    _add_changes(router, wired)
    _add_switches(router, wired)
    return router


def _add_creation(router: APIRouter, wired: Wired) -> None:
    @router.post("", status_code=201, response_model=Data[AccountAnswer], responses=also(404))
    async def create_account(request: Request, body: AccountBody, caller: Writer, *, verify: Verify = True) -> Response:
        """Create an account: with credentials of its provider's kind, or pending without them.

        The member `credentials` is as the source's `account_schema` says. An authorization code is exchanged, and a machine's
        first token obtained, before the account is stored. The same code again, within a day, gives the same answer, with a key
        or without: the provider is not asked twice, which could end the grant (RFC 6749, section 4.1.2).

        Credentials are verified with the provider first, where it has a cheap request for that: those that it does not take get
        422 `credentials_rejected`. Where it tells whose they are, that is the account's `external_id`, verified: 422
        `external_id_mismatch` if another one was given, 409 `account_exists` if the source has an account with it. A provider
        that can't be had is no obstacle: the account is created, `external_id_verified` is false then, and `verification` says why.

        A refresh token that an account of the same client came with, at whatever source, is not taken again: 409 `account_exists`,
        with `account_id` if that account is of this environment.
        """
        wanted = await _wanted(wired, caller, body)
        correlation_id = request.state.correlation_id

        async def create(work: PostgresWork, obtained: Obtained | None) -> dict[str, Any]:
            account_id = await wired.create_account(
                work,
                caller,
                wanted,
                tokens=None if obtained is None else obtained.tokens,
                correlation_id=correlation_id,
                checked=UNCHECKED if obtained is None else obtained.checked,
            )
            view = await work.accounts.view(account_id, caller.environment)
            assert view is not None  # noqa: S101 - it has just been stored
            return rendering.account(view, wired.foundation.catalogue)

        given = wanted.credentials
        purpose = Purpose(
            wanted.source_id, caller.environment, wanted.properties, expected=wanted.external_id, verify=verify
        )
        ready = None if given is None else await wired.obtain_credentials.at_once(given, purpose)
        if given is None or ready is not None:
            return await wired.creations(request, caller, lambda work: create(work, ready))
        spent = Spent.by(wanted.source_id, given)
        return await wired.creations.prepared(
            request,
            caller,
            lambda: wired.obtain_credentials(given, purpose, exchanged=None if spent is None else spent.note_exchange),
            create,
            repeatable=spent is None,
            spent=spent,
        )


def _add_reads(router: APIRouter, wired: Wired) -> None:
    @router.get("", response_model=Page[AccountAnswer])
    async def list_accounts(query: Annotated[AccountQuery, Query()], caller: Reader) -> Response:
        """The environment's accounts, oldest first. `metadata.KEY=value` filters by metadata, besides the parameters below."""
        wanted, after = query.filter(), id_after(query.cursor)
        async with wired.works.reading() as work:
            found = await work.accounts.list(caller.environment, wanted, after=after, limit=query.limit + 1)
        shown, next_cursor = split(found, query.limit, lambda view: view.account.id)
        return rendering.page([rendering.account(view, wired.foundation.catalogue) for view in shown], next_cursor)

    @router.get("/{account_id}/attempts", response_model=Page[AttemptAnswer])
    async def list_attempts(
        account_id: str, caller: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Response:
        """The account's refresh journal, newest first."""
        parsed, after = _parsed(account_id), id_after(cursor)
        before = None if after is None else AttemptId(after)
        async with wired.works.reading() as work:
            await _must_exist(work, parsed, caller)
            found = await work.accounts.attempts(parsed, before=before, limit=limit + 1)
        shown, next_cursor = split(found, limit, lambda attempt: attempt.id)
        return rendering.page([rendering.attempt(attempt) for attempt in shown], next_cursor)

    @router.get("/{account_id}/events", response_model=Page[EventAnswer])
    async def list_events(
        account_id: str, caller: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Response:
        """What happened to the account, as CloudEvents, newest first."""
        parsed, before = _parsed(account_id), number_after(cursor)
        async with wired.works.reading() as work:
            await _must_exist(work, parsed, caller)
            found = await events_of(work.connection, parsed, before=before, limit=limit + 1)
        shown, next_cursor = split(found, limit, lambda event: event.sequence)
        return rendering.page([cloudevent(event) for event in shown], next_cursor)


def _add_changes(router: APIRouter, wired: Wired) -> None:
    @router.patch("/{account_id}", response_model=Data[AccountAnswer], responses=also(409))
    async def update_account(
        request: Request, account_id: str, caller: Writer, body: AccountChangeBody | None = None
    ) -> Response:
        """Change metadata and properties, name by name. A pending account that has credentials and lacks nothing more is active then.

        Who changes where credentials that are here are sent must be allowed to have them. If other properties make another address
        of the one at which the account is verified, that takes `credentials:read` besides; of `token_url`, `refresh_url` or
        `revocation_url`, `credentials:release`. Otherwise it is 403 `missing_scope`, and nothing is changed. A property that was
        missing counts, too; the properties of an account without credentials, and those that stand in no such address, are free.
        """
        parsed = _parsed(account_id)
        cause = request.state.correlation_id

        async def change(fetched: Fetched) -> AccountView:
            async with wired.works() as work:
                await _must_exist(work, parsed, caller)
                if body is None:
                    raise InvalidInput("body", "names nothing that is to be changed")
                return await wired.update_account(
                    work, caller, parsed, body.wanted(), correlation_id=cause, fetched=fetched
                )

        view = await having_fetched(wired.stores, change)
        return rendering.data(rendering.account(view, wired.foundation.catalogue))

    @router.post("/{account_id}/sign", response_model=Data[SignatureAnswer], responses=also(409))
    async def sign_request(request: Request, account_id: str, body: SignBody, caller: Signer) -> Response:
        """The Authorization header for one request of an OAuth 1.0a account (RFC 5849). Nothing is sent to the provider."""
        parsed = _parsed(account_id)
        headers = await wired.sign_request(
            parsed,
            body.wanted(),
            environment=caller.environment,
            correlation_id=request.state.correlation_id,
        )
        wired.reads.note(caller, "request.sign", format_id(IdKind.ACCOUNT, parsed))
        return rendering.data({"headers": headers})

    @router.post("/{account_id}/refresh", status_code=202, response_model=Data[RefreshAnswer], responses=also(409))
    async def refresh_account(
        request: Request, account_id: str, caller: Writer, _body: Nothing | None = None
    ) -> Response:
        """Ask for a refresh now. It has not been done when the answer comes: see the account's attempts."""
        correlation_id: str = request.state.correlation_id
        await wired.request_refresh(caller, _parsed(account_id), correlation_id=correlation_id)
        return rendering.data({"account_id": account_id, "correlation_id": correlation_id}, 202)

    @router.post("/{account_id}/verify", response_model=Data[AccountAnswer], responses=also(409))
    async def verify_account(
        request: Request, account_id: str, caller: Writer, _body: Nothing | None = None
    ) -> Response:
        """Ask the provider whether it takes the account's credentials, and whose they are; `verification` says what came of it.

        A token that has run out is refreshed first, as `POST …/token` does it. An external id that was not verified before is
        filled in: 409 `account_exists` if another account has it. A rejection never disables the account: if it can't be
        refreshed, its `health` is `failing` until the provider takes its credentials again. They are sent where the account's
        properties say, so changing these may take more than `accounts:write` (`PATCH /v1/accounts/{account_id}`).
        """
        view = await wired.verify_account(caller, _parsed(account_id), correlation_id=request.state.correlation_id)
        return rendering.data(rendering.account(view, wired.foundation.catalogue))


def _add_switches(router: APIRouter, wired: Wired) -> None:
    @router.post("/{account_id}/enable", response_model=Data[AccountAnswer], responses=also(409))
    async def enable_account(
        request: Request, account_id: str, caller: Writer, _body: Nothing | None = None
    ) -> Response:
        """Use the account again. It is refreshed at once, which shows whether its grant is still good."""
        return await _toggle(request, caller, account_id, on=True)

    @router.post("/{account_id}/disable", response_model=Data[DisabledAccountAnswer], responses=also(409))
    async def disable_account(
        request: Request, account_id: str, caller: Writer, _body: Nothing | None = None, *, revoke: bool = False
    ) -> Response:
        """Stop refreshing the account and handing out its tokens.

        With `revoke=true` its credentials are erased at once, and its grant is revoked at the provider, where that can be done,
        right afterwards: `disabled.detail` is `credentials_erased` then, and only a new authorisation brings the account back
        (`PUT /v1/accounts/{account_id}/credentials`).
        """
        if not revoke:
            return await _toggle(request, caller, account_id, on=False)
        parsed, cause = _parsed(account_id), request.state.correlation_id

        async def withdraw(fetched: Fetched) -> tuple[AccountView, RevocationAsked]:
            async with wired.works() as work:
                return await wired.withdraw_account(work, caller, parsed, correlation_id=cause, fetched=fetched)

        view, asked = await having_fetched(wired.stores, withdraw)
        shown = rendering.account(view, wired.foundation.catalogue)
        return rendering.data({**shown, "revocation": asked.value})

    async def _toggle(request: Request, caller: Caller, account_id: str, *, on: bool) -> Response:
        async with wired.works() as work:
            view = await wired.toggle_account(
                work, caller, _parsed(account_id), on=on, correlation_id=request.state.correlation_id
            )
        return rendering.data(rendering.account(view, wired.foundation.catalogue))


async def _must_exist(work: PostgresWork, account_id: AccountId, caller: Caller) -> None:
    if await work.accounts.view(account_id, caller.environment) is None:
        raise NotFound("account")


async def _wanted(wired: Wired, caller: Caller, body: AccountBody) -> NewAccount:
    source_id = SourceId(parse_id(IdKind.SOURCE, body.source_id, field="source_id"))
    async with wired.works.reading() as work:
        source = await work.sources.get(source_id, caller.environment)
    if source is None:
        raise NotFound("source")
    return body.wanted(wired.foundation.catalogue.get(source.provider), source)


def _parsed(text: str) -> AccountId:
    return AccountId(parse_id(IdKind.ACCOUNT, text, field="account_id"))
