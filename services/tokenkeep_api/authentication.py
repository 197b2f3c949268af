"""Who is asking: the API key of each request to the API, and the scopes that each route wants."""

import re
from dataclasses import dataclass
from typing import Protocol

from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from tokenkeep.application.issue_api_key import hash_key
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.api_key import Scope as ApiScope
from tokenkeep.domain.errors import InvalidInput, NotAllowed, NotAuthenticated, RateLimited
from tokenkeep.domain.secret import Secret
from tokenkeep_api.api_paths import is_api, is_provider_hook
from tokenkeep_api.client_addresses import ClientAddresses
from tokenkeep_api.problems import problem_of
from tokenkeep_api.rate_limits import RateLimits

ENVIRONMENT_HEADER = "X-Tokenkeep-Environment"
# What watches over us must not be turned away.
_UNLIMITED = frozenset({"/healthz", "/readyz", "/metrics"})
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([\x21-\x7e]{1,512}) *")


class Authenticating(Protocol):
    """Recognises the bearer of a key by its hash; the use-case `Authenticate`."""

    async def __call__(self, key_hash: bytes, *, environment: str | None, address: str | None) -> Caller:
        """The caller. Raises `NotAuthenticated`, or `InvalidInput` for an environment that can't be."""


class KeyUses(Protocol):
    """Takes note of callers that were recognised."""

    def note(self, caller: Caller) -> None:
        """This caller's key is used now."""


class Authentication:
    """ASGI middleware: nothing of the API (`is_api`) is reached, and no body read, without a valid API key, nor too often with one.

    What is elsewhere is open, and limited by address; so is what providers call, whose signatures their route looks at.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticate: Authenticating,
        uses: KeyUses,
        addresses: ClientAddresses,
        limits: RateLimits,
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._uses = uses
        self._addresses = addresses
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            try:
                await self._admit(scope)
            except (NotAuthenticated, InvalidInput, RateLimited) as refusal:
                problem = problem_of(refusal)
                assert problem is not None  # noqa: S101 - all of them have one
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        path = scope["path"]
        address = scope["state"]["address"] = self._addresses(scope)
        if is_api(path) and not is_provider_hook(path):
            caller = await self._caller(scope, address)
            scope["state"]["caller"] = caller
            self._uses.note(caller)
        elif is_provider_hook(path):
            self._limits.admit_stranger(address, scope["state"])
        elif path not in _UNLIMITED:
            self._limits.charge_stranger(address, scope["state"])

    async def _caller(self, scope: Scope, address: str | None) -> Caller:
        state = scope["state"]
        key_hash = bearer_hash(scope)
        if key_hash is None:
            self._limits.charge_stranger(address, state)
            raise NotAuthenticated
        payer = self._limits.begin(key_hash, address, state)
        recognised: bool | None = None
        try:
            caller = await self._authenticate(key_hash, environment=chosen_environment(scope), address=address)
            recognised = True
        except NotAuthenticated:
            recognised = False
            raise
        finally:
            self._limits.end(key_hash, address, state, payer=payer, recognised=recognised)
        return caller


def bearer_hash(scope: Scope) -> bytes | None:
    """The hash of the key that a request shows; None where it shows none, or several."""
    keys = [value for name, value in scope["headers"] if name == b"authorization"]
    found = _BEARER.fullmatch(keys[0]) if len(keys) == 1 else None
    return None if found is None else hash_key(Secret(found[1].decode("ascii")))


def chosen_environment(scope: Scope) -> str | None:
    """The environment that a request names. Raises `InvalidInput` where it names several."""
    wanted = [value for name, value in scope["headers"] if name == b"x-tokenkeep-environment"]
    if len(wanted) > 1:
        raise InvalidInput(ENVIRONMENT_HEADER, "must come once")
    return wanted[0].decode("latin-1").strip() if wanted else None


@dataclass(frozen=True, slots=True)
class Allowed:
    """A dependency that lets callers with all of these scopes pass. The API's description is told of them by this object."""

    scopes: tuple[ApiScope, ...]

    def __call__(self, request: Request) -> Caller:
        """The caller. Raises `NotAllowed` when it lacks a scope."""
        return allowed(request, *self.scopes)


def allowed(request: Request, *scopes: ApiScope) -> Caller:
    """The request's caller, who has all of these scopes. Raises `NotAllowed` otherwise."""
    return require(request.state.caller, *scopes)


def require(caller: Caller, *scopes: ApiScope) -> Caller:
    """The caller, who has all of these scopes. Raises `NotAllowed` otherwise."""
    for scope in scopes:
        if not caller.may(scope):
            raise NotAllowed(scope.value)
    return caller


def needs(*scopes: ApiScope) -> object:
    """A dependency on the caller, who must have these scopes; for `Annotated[Caller, …]` in the signature of a route."""
    return Depends(Allowed(scopes))
