"""Errors as `application/problem+json` (RFC 9457): the one place that knows which HTTP status says what.

A problem names facts of ours and never quotes what came in: no value of a body, no exception's text, no stack.
"""

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from itertools import takewhile
from typing import Any

import orjson
import structlog
from asyncpg import PostgresConnectionError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import (
    AccountDisabled,
    AccountExists,
    Conflict,
    ReauthorizationRequired,
    RequestInProgress,
    SourceInUse,
)
from tokenkeep.domain.errors import (
    CredentialsErased,
    CursorExpired,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotStored,
    ProviderUnavailable,
    RateLimited,
    RefreshUnanswered,
    RevocationUnanswered,
    SourcePaused,
    StoreUnavailable,
    TokenkeepError,
    TokenUnavailable,
    TooManyReaders,
)
from tokenkeep.domain.ids import AccountId, IdKind, parse_id
from tokenkeep_api.stack import where

PROBLEM_TYPE = "application/problem+json"
# A name of ours, or one that somebody thought up. What is no such name may be a secret in the wrong place.
_NAME = re.compile(
    r"(?=[^0-9]*(?:[0-9][^0-9]*){0,2}$)(?=.{1,40}$)[A-Za-z]{1,24}(?:[_-][A-Za-z0-9]{1,24}){0,5}|[0-9]{1,6}"
)
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_TRY_AGAIN_S = 1.0
# Lock not available, serialization failure, deadlock, out of connections, shutting down, starting up: all of them pass.
_PASSING_STATES = ("55P03", "40001", "40P01", "53300", "57P01", "57P02", "57P03")

_log = structlog.get_logger("tokenkeep.api")


class Problem(HTTPException):
    """A refusal, ready to be answered. `more` are extension members."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.field = field
        self.more = more

    def response(self) -> Response:
        """The answer."""
        document: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "detail": self.detail,
            "code": self.code,
        }
        if self.field is not None:
            document["field"] = self.field
        document |= self.more
        return Response(orjson.dumps(document), self.status_code, self.headers, media_type=PROBLEM_TYPE)


def temporarily_unavailable() -> Problem:
    """The database can't be had for the moment."""
    return _retryable(503, "temporarily_unavailable", "the service can't answer for the moment", _TRY_AGAIN_S)


def problem_of(error: TokenkeepError) -> Problem | None:  # noqa: C901, PLR0912 - one case for each error of the tree
    """How an error of ours is told; None for those that are no fault of the caller's and no passing trouble."""
    match error:
        case InvalidInput(code=code, field=field, detail=detail):
            return Problem(422, code, detail, field=shown(field.split(".")))
        case NotFound():
            return Problem(404, "not_found", str(error))
        case AccountExists(account_id=str(account_id)):
            return Problem(409, error.code, str(error), account_id=account_id)
        case AccountDisabled(reason=reason) | ReauthorizationRequired(reason=reason):
            return Problem(409, error.code, str(error), reason=reason)
        case SourceInUse(accounts=accounts, most=most):
            return Problem(409, error.code, str(error), accounts=min(accounts, most), more_accounts=accounts > most)
        case RequestInProgress():
            return _retryable(409, error.code, str(error), _TRY_AGAIN_S)
        case Conflict(code=code):
            return Problem(409, code, str(error))
        case CredentialsErased() | CursorExpired():
            return Problem(410, error.code, str(error))
        case TooManyReaders():
            return _retryable(503, error.code, str(error), _TRY_AGAIN_S)
        case RefreshUnanswered(retry_after=retry_after) | RevocationUnanswered(retry_after=retry_after):
            return _retryable(503, error.code, str(error), retry_after)
        case SourcePaused(reason=reason):
            return Problem(409, "source_paused", str(error), reason=reason)
        case NotAllowed(scope=scope):
            return Problem(403, "missing_scope", str(error), scope=scope)
        case NotAuthenticated():
            return Problem(401, "not_authenticated", str(error), headers={"WWW-Authenticate": "Bearer"})
        case RateLimited(retry_after=retry_after):
            return _retryable(429, "rate_limited", str(error), retry_after)
        case TokenUnavailable(retry_after=retry_after, reason=reason):
            return _retryable(503, "token_unavailable", str(error), retry_after, reason=reason)
        case StoreUnavailable() | NotStored():
            return _retryable(503, "credential_store_unavailable", "the credential store can't be had", 5.0)
        case ProviderUnavailable(retry_after=retry_after, reason=reason, maybe_used=maybe_used):
            detail = str(error)
            if maybe_used:
                detail += "; the authorization code may have been used up, so start again with a new one"
            return _retryable(503, "provider_unavailable", detail, retry_after, reason=reason.value)
        case _:
            return None


LinkingAccounts = Callable[[AccountId, str], Awaitable[str | None]]
"""Gives the link by which an account's end user can authorise it again, where they can; the use-case `LinkAccount`."""


def install(app: FastAPI, link_account: LinkingAccounts) -> None:
    """Have the app answer every foreseen error with a problem. What is left over is for `Envelope`.

    A refusal that the account's end user can lift shows the way: `connect_url`.
    """

    async def on_refusal(request: Request, error: Exception) -> Response:
        problem = problem_of(error) if isinstance(error, TokenkeepError) else None
        if problem is None:
            raise error
        named = request.path_params.get("account_id")
        if named is not None:
            caller: Caller = request.state.caller
            url = await link_account(AccountId(parse_id(IdKind.ACCOUNT, named)), caller.environment)
            problem.more |= {} if url is None else {"connect_url": url}
        return problem.response()

    app.add_exception_handler(AccountDisabled, on_refusal)
    app.add_exception_handler(ReauthorizationRequired, on_refusal)
    app.add_exception_handler(TokenkeepError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    for trouble in (DBAPIError, PoolTimeout, PostgresConnectionError, OSError):
        app.add_exception_handler(trouble, _on_database_trouble)


def method_not_allowed(request: Request) -> Problem:
    """A 405 that names all methods of the path (RFC 9110, section 10.2.1); a path may be served by several routes."""
    routes = request.app.router.routes
    taken = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    headers = {"Allow": ", ".join(taken)}
    return Problem(405, "method_not_allowed", "the path does not take this method", headers=headers)


def is_passing(error: Exception) -> bool:
    """Whether an error says that the database can't be had for the moment."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        lost = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        return lost or state in _PASSING_STATES or str(state or "").startswith("08")
    return isinstance(error, PoolTimeout | PostgresConnectionError | OSError)


async def _on_error(_request: Request, error: Exception) -> Response:
    problem = problem_of(error) if isinstance(error, TokenkeepError) else None
    if problem is None:
        raise error
    return problem.response()


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return error.response()
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for those
    match error.status_code:
        case 404:
            problem = Problem(404, "not_found", "there is nothing at this path")
        case 405:
            problem = method_not_allowed(request)
        case status:
            problem = Problem(status, HTTPStatus(status).phrase.lower().replace(" ", "_"), HTTPStatus(status).phrase)
    return problem.response()


async def _on_invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for those
    return invalid(error.errors()).response()


async def _on_database_trouble(_request: Request, error: Exception) -> Response:
    if not is_passing(error):
        raise error
    _log.warning("database_unavailable", error=type(error).__name__, where=where(error))
    return temporarily_unavailable().response()


def invalid(errors: Any) -> Problem:
    """The first thing wrong that pydantic found (`errors()` of its exception), by field and rule; never by value."""
    first = errors[0]
    field = _field(first["loc"])
    match first["type"]:
        case "extra_forbidden":
            detail = "there is no such member"
        case "missing":
            detail = "is required"
        case _:
            detail = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return Problem(422, InvalidInput.code, detail, field=field)


def shown(steps: Sequence[str]) -> str:
    """The dotted name of a field, as far as it consists of names that are fit to be shown."""
    return ".".join(takewhile(_NAME.fullmatch, steps)) or "body"


def _field(location: tuple[str | int, ...]) -> str:
    """`("body", "credentials", "<tokens>", "expires_at")` as `credentials.expires_at`.

    Angle brackets mark the branches of a union, square ones a key; both are pydantic's and not the caller's.
    """
    steps = [str(step) for step in location]
    if steps and steps[0] in {"body", "query", "path", "header"}:
        steps = steps[1:]
    return shown([step for step in steps if not (step.startswith("<") and step.endswith(">")) and step != "[key]"])


def _retryable(status: int, code: str, detail: str, retry_after_s: float, **more: Any) -> Problem:
    seconds = max(1, math.ceil(retry_after_s))
    return Problem(status, code, detail, headers={"Retry-After": str(seconds)}, retry_after=seconds, **more)
