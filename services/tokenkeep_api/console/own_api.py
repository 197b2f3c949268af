"""The API as the console calls it: by its own routes, in this process, as the caller who is signed in.

So the console can do nothing that the key behind it may not, checks nothing twice, and leaves the same audit trail.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message

from tokenkeep.domain.api_key import Caller
from tokenkeep_api.problems import LinkingAccounts, install
from tokenkeep_api.refusals import Noting, Refusals

Query = Mapping[str, str | int | None]


class Refused(Exception):
    """The API said no: the members of its problem document (RFC 9457)."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(problem["code"])
        self.status: int = problem["status"]
        self.code: str = problem["code"]
        self.detail: str = problem["detail"]
        self.field: str | None = problem.get("field")
        self.members = problem


class OwnApi:
    """Calls routes of the API. Authentication is over by then; what a route wants of its caller, it asks as ever."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @classmethod
    def over(cls, api: FastAPI, *, note: Noting, link_account: LinkingAccounts) -> "OwnApi":
        """The routes that `api` has by then, behind a door of their own."""
        app = FastAPI(
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            middleware=[Middleware(Refusals, note=note)],
        )
        app.router.routes = api.router.routes
        install(app, link_account)
        return cls(app)

    async def __call__(
        self,
        asked: Request,
        caller: Caller,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        once: str | None = None,
    ) -> Any:
        """The whole document of the answer; None where there is none. `once` is an Idempotency-Key.

        Raises:
            Refused: The API refused.
        """
        sent = b"" if body is None else orjson.dumps(body)
        answer = _Answer(sent)
        scope = _scope(asked, caller, f"{method} {path}", query or {}, sent)
        if once is not None:
            scope["headers"].append((b"idempotency-key", once.encode()))
        await self._app(scope, answer.receive, answer.send)
        document: Any = orjson.loads(answer.body) if answer.body else None
        if answer.status >= 400:  # noqa: PLR2004 - what RFC 9110 calls an error
            raise Refused(document)
        return document


def _scope(asked: Request, caller: Caller, call: str, query: Query, body: bytes) -> dict[str, Any]:
    method, _, path = call.partition(" ")
    given = {name: value for name, value in query.items() if value not in {None, ""}}
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())] if body else []
    state = {
        "caller": caller,
        "address": asked.state.address,
        "correlation_id": asked.state.correlation_id,
    }
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": asked.scope["scheme"],
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": urlencode(given).encode(),
        "headers": headers,
        "server": asked.scope.get("server"),
        "client": asked.scope.get("client"),
        "state": state,
    }


class _Answer:
    """Both ends of one exchange: a body that is there at once, and what is answered."""

    def __init__(self, sent: bytes) -> None:
        self._sent: bytes | None = sent
        self._never = asyncio.Event()
        self._pieces: list[bytes] = []
        self.status = 0

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)

    async def receive(self) -> Message:
        if self._sent is None:
            await self._never.wait()  # nobody leaves before the answer; whoever waits for it is cancelled by then
        body, self._sent = self._sent, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self._pieces.append(message.get("body", b""))
