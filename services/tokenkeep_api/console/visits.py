"""A request of somebody who is signed in: who it is, what the API says to them, how pages are shown to them."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tokenkeep.application.connect_sessions import new_token
from tokenkeep.application.console_sessions import Recognise
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import InvalidInput, NotAllowed, NotAuthenticated, VaultError
from tokenkeep.domain.secret import Secret
from tokenkeep_api.authentication import KeyUses
from tokenkeep_api.connect_requests import FORM_KEY, address_of, form_in
from tokenkeep_api.console import words
from tokenkeep_api.console.cookies import ConsoleCookies, form_key
from tokenkeep_api.console.fields import Field, fingerprint
from tokenkeep_api.console.navigation import navigation
from tokenkeep_api.console.own_api import OwnApi, Query, Refused
from tokenkeep_api.console.pages import ConsolePages
from tokenkeep_api.wired import Wired

NEXT: Final = "next"
DONE: Final = "done"
ONCE: Final = "once"
"""The hidden field that tells one showing of a form from another: the Idempotency-Key of what it creates."""

SEEN: Final = "seen"
"""The hidden field that tells what a form was shown with."""

_CHANGED: Final = (
    "somebody else has changed this since the page was opened, so nothing was saved; here is how it is now: "
    "please make your change again"
)
_ONCE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_LEADS_ASIDE: Final = re.compile(r"\\|//|/\.|/%2e", re.IGNORECASE)
"""What browsers may read as a way up, or to another host."""

_SEE_OTHER: Final = 303
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, and whoever it comes from. `form` is what they filled in, empty for a look."""

    request: Request
    caller: Caller
    token: Secret
    form: Mapping[str, str]
    api: OwnApi
    pages: ConsolePages

    def may(self, *scopes: Scope) -> bool:
        """Whether the key has all of these scopes."""
        return all(self.caller.may(scope) for scope in scopes)

    def require(self, scope: Scope) -> None:
        """What the API would say if one of its routes wanted this scope. Raises `Refused`."""
        if not self.caller.may(scope):
            said = NotAllowed(scope.value)
            raise Refused({"status": 403, "code": "missing_scope", "detail": str(said), "scope": scope.value})

    async def read(self, path: str, query: Query | None = None) -> Any:
        """The whole document that the API gives. Raises `Refused`."""
        return await self.api(self.request, self.caller, "GET", path, query=query)

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Query | None = None
    ) -> Any:
        """Have the API do something; its answer. A form that is sent twice does it once, where the API can tell. Raises `Refused`."""
        once = self.form.get(ONCE, "")
        key = once if method == "POST" and _ONCE.fullmatch(once) else None
        return await self.api(self.request, self.caller, method, path, query=query, body=body, once=key)

    def show(self, template: str, status: int = 200, *, title: str, **facts: Any) -> Response:
        """A page within the frame."""
        done = words.DONE.get(self.request.query_params.get(DONE, ""))
        return self.pages.show(
            template,
            status,
            title=title,
            caller=self.caller,
            may=lambda scope: self.may(Scope(scope)),
            navigation=navigation(self.caller, self.request.url.path),
            form_key=form_key(self.token),
            once=new_token().reveal(),
            given={name: value for name, value in self.request.query_params.items() if name != DONE},
            path=self.request.url.path,
            done=done,
            **facts,
        )

    def refusal(self, refused: Refused) -> Response:
        """A page that says why not."""
        reference = self.request.state.correlation_id if refused.status >= _SERVER_ERROR else None
        return self.show(
            "refused.html", refused.status, title="That did not work", problem=refused, reference=reference
        )

    def overtaken(self, fields: Iterable[Field]) -> Refused | None:
        """Whether the thing has changed since the form was shown: these are the form's fields as they would be shown now."""
        if self.form.get(SEEN) == fingerprint(fields):
            return None
        return Refused({"status": 409, "code": "changed_meanwhile", "detail": _CHANGED})

    def onward(self, path: str, done: str | None = None) -> Response:
        """On to another page of the console, by GET, with what to say there."""
        said = "" if done is None else f"?{DONE}={quote(done)}"
        return RedirectResponse(f"{self.pages.path}/console{path}{said}", _SEE_OTHER, {"Cache-Control": "no-store"})


Handler = Callable[[Visit], Awaitable[Response]]


class Door:
    """Lets in whoever is signed in; shows others the way to the form."""

    def __init__(self, wired: Wired, pages: ConsolePages, api: OwnApi, recognise: Recognise, uses: KeyUses) -> None:
        self._works = wired.works
        self._pages = pages
        self._api = api
        self._recognise = recognise
        self._uses = uses
        self.cookies = ConsoleCookies(secure=wired.foundation.settings.external_url.startswith("https://"))

    def look(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that shows something."""

        async def endpoint(request: Request) -> Response:
            visit = await self._visit(request, {})
            return self._to_sign_in(request) if visit is None else await self._handled(visit, handler)

        return endpoint

    def change(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that a form of ours is sent to."""

        async def endpoint(request: Request) -> Response:
            form = form_in(await request.body())
            visit = await self._visit(request, form)
            if visit is None:
                return self._to_sign_in(request, after="/console")
            if Secret(form.get(FORM_KEY, "")) != Secret(form_key(visit.token)):
                # A form on somebody else's page, or one of a session before this one.
                return visit.show("stale.html", 403, title="Please do that again")
            return await self._handled(visit, handler)

        return endpoint

    async def _handled(self, visit: Visit, handler: Handler) -> Response:
        try:
            return await handler(visit)
        except Refused as refused:
            return visit.refusal(refused)

    async def _visit(self, request: Request, form: Mapping[str, str]) -> Visit | None:
        token = self.cookies.session(request.cookies)
        if token is None:
            return None
        try:
            async with self._works.reading() as work:
                caller = await self._recognise(work, token, address=address_of(request))
        except (NotAuthenticated, InvalidInput, VaultError):
            # A session that another keyring has sealed is over too: whoever has it would see nothing but faults for hours.
            return None
        request.scope["state"]["caller"] = caller
        self._uses.note(caller)
        return Visit(request, caller, token, form, self._api, self._pages)

    def _to_sign_in(self, request: Request, after: str | None = None) -> Response:
        path = request.url.path if after is None else after
        asked = f"{path}?{request.url.query}" if after is None and request.url.query else path
        if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
            # The session's cookie does not come along from other sites; it does when the page asks for itself.
            return self._pages.show("again.html", title="One moment")
        return RedirectResponse(
            f"{self._pages.path}/console/sign-in?{NEXT}={quote(asked, safe='')}",
            _SEE_OTHER,
            {"Cache-Control": "no-store"},
        )


def safe_next(text: str) -> str:
    """Where to go after signing in: a page of the console, or the first one."""
    try:
        path = urlsplit(text).path
    except ValueError:
        return "/console"
    inside = path == "/console" or path.startswith("/console/")
    return text if inside and text.startswith(path) and not _LEADS_ASIDE.search(path) else "/console"
