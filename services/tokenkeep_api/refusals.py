"""What was tried and refused, for the audit trail. What succeeds is written by the use-case that does it."""

from typing import Any, Protocol
from urllib.parse import parse_qsl

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import MalformedId
from tokenkeep.domain.ids import IdKind, format_id, parse_id
from tokenkeep_api.audited_calls import ACTIONS
from tokenkeep_api.problems import PROBLEM_TYPE

_TARGETS = {
    "source_id": IdKind.SOURCE,
    "account_id": IdKind.ACCOUNT,
    "session_id": IdKind.SESSION,
    "key_id": IdKind.API_KEY,
    "webhook_id": IdKind.WEBHOOK,
}
# A HEAD is served as the GET, to its very end but for the body.
_LOOKS = frozenset({"GET", "HEAD"})
_UNFORESEEN = "internal_error"


class Noting(Protocol):
    """Takes note of an act, to be written soon."""

    def __call__(self, caller: Caller, action: str, target: str | None, result: str) -> None:
        """This caller did this, with this result."""


class Refusals:
    """ASGI middleware: attempts at a change, or at reading credentials, that a known caller made in vain.

    They are counted in memory and written once a second, so that who tries often costs no more than who tries once.
    """

    def __init__(self, app: ASGIApp, *, note: Noting) -> None:
        self._app = app
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        caller = scope["state"].get("caller") if scope["type"] == "http" else None
        if caller is None or (scope["method"] in _LOOKS and not _tells(scope["query_string"])):
            await self._app(scope, receive, send)
            return
        answer = _Watched(send)
        try:
            await self._app(scope, receive, answer)
        except Exception:  # whatever it is, the trail tells that it was tried in vain; it goes on as it came
            self._take_note(caller, scope, _UNFORESEEN)
            raise
        if answer.code is not None:
            self._take_note(caller, scope, answer.code)

    def _take_note(self, caller: Caller, scope: Scope, code: str) -> None:
        method = "GET" if scope["method"] in _LOOKS else scope["method"]
        action = ACTIONS.get((method, getattr(scope.get("route"), "path", "")))
        if action is not None:
            self._note(caller, action, _target(scope.get("path_params", {})), code)


class _Watched:
    """`send`, with the code of the problem that goes through it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._refused = False
        self.code: str | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._refused = (b"content-type", PROBLEM_TYPE.encode()) in message["headers"]
        elif self._refused and self.code is None:
            self.code = orjson.loads(message["body"])["code"]
        await self._send(message)


def _tells(query: bytes) -> bool:
    """Whether a query makes a GET more than a look. It is read as the routes read it, whatever is encoded in it."""
    if not query:
        return False
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return any(name == "result" or (name, value) == ("include_credentials", "1") for name, value in given)


def _target(parameters: dict[str, Any]) -> str | None:
    """The thing that a path names. What is no id of ours is somebody's text, and not kept."""
    for name, kind in _TARGETS.items():
        if name in parameters:
            try:
                return format_id(kind, parse_id(kind, parameters[name]))
            except MalformedId:
                return None
    return None
