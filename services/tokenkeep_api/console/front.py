"""Signing in and out, and the page that says how everything stands."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tokenkeep.application.connect_sessions import new_token
from tokenkeep.application.console_sessions import SignIn, SignOut
from tokenkeep.application.environment_figures import MOST_UNTOLD, EnvironmentFigures
from tokenkeep.application.issue_api_key import hash_key
from tokenkeep.domain.account import AccountState, Health
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import InvalidInput, NotAuthenticated
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.domain.rate_limit import Rate
from tokenkeep.domain.secret import Secret
from tokenkeep_api.authentication import Authenticating
from tokenkeep_api.client_addresses import neighbourhood
from tokenkeep_api.connect_requests import FORM_KEY, address_of, form_in
from tokenkeep_api.console.charts import bars
from tokenkeep_api.console.cookies import form_key
from tokenkeep_api.console.figures import Figures, NotCounted
from tokenkeep_api.console.listing import all_sources
from tokenkeep_api.console.pages import ConsolePages
from tokenkeep_api.console.visits import DONE, NEXT, Door, Visit, safe_next
from tokenkeep_api.named_route import NamedRoute
from tokenkeep_api.rate_limits import Buckets
from tokenkeep_api.wired import Wired

TRIES: Final = Rate(per_s=0.1, burst=10)
"""How often an address may try to sign in: ten times at once, then once in ten seconds."""

_TOLD_WITHIN = timedelta(seconds=5)
"""What waits no longer for Redis is on its way."""
_LONGEST_KEY = 512
_SEE_OTHER = 303
_NOT_THIS_KEY = "This key is not known here. It may have been withdrawn, or have run out."
_TOO_OFTEN = "That was tried too often. Please wait a minute."
_PRESS_AGAIN = "We could not be sure that it was you who pressed the button. Please press it again. If this keeps happening, allow cookies for this page."


class Front:
    """The endpoints."""

    def __init__(
        self, wired: Wired, pages: ConsolePages, door: Door, figures: Figures[str, EnvironmentFigures], sign_in: SignIn
    ) -> None:
        self._wired = wired
        self._works = wired.works
        self._authenticate: Authenticating = wired.authenticate
        self._pages = pages
        self._door = door
        self._figures = figures
        self._sign_in = sign_in
        self._sign_out = SignOut()
        self._tries = Buckets("sign-in", TRIES)

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            NamedRoute("/console/sign-in", self.ask, methods=["GET"]),
            NamedRoute("/console/sign-in", self.enter, methods=["POST"]),
            NamedRoute("/console/sign-out", self._door.change(self.leave), methods=["POST"]),
            NamedRoute("/console", self._door.look(self.overview), methods=["GET"]),
        ]

    async def ask(self, request: Request) -> Response:
        """The form."""
        return self._form(request, next_page=request.query_params.get(NEXT, ""))

    async def enter(self, request: Request) -> Response:
        """The form was sent."""
        form = form_in(await request.body())
        next_page = safe_next(form.get(NEXT, ""))
        doorstep = self._door.cookies.doorstep(request.cookies)
        if doorstep is None or Secret(form.get(FORM_KEY, "")) != Secret(form_key(doorstep)):
            return self._form(request, 403, next_page=next_page, notice=_PRESS_AGAIN)
        if self._tries.take(neighbourhood(address_of(request)), now=monotonic()).retry_after_s is not None:
            return self._form(request, 429, next_page=next_page, notice=_TOO_OFTEN)
        key = Secret(form.get("key", "").strip()[:_LONGEST_KEY])
        try:
            caller = await self._caller(request, key, form.get("environment", "").strip() or None)
        except NotAuthenticated:
            return self._form(request, 401, next_page=next_page, notice=_NOT_THIS_KEY)
        except InvalidInput as fault:
            return self._form(
                request, 422, next_page=next_page, complaint=f"{fault.detail[0].upper()}{fault.detail[1:]}."
            )
        async with self._works() as work:
            former = self._door.cookies.session(request.cookies)
            token = await self._sign_in(work, caller, key, former=former)
        request.scope["state"]["caller"] = caller
        response = RedirectResponse(f"{self._pages.path}{next_page}", _SEE_OTHER, {"Cache-Control": "no-store"})
        self._door.cookies.put_session(response, token)
        return response

    async def leave(self, visit: Visit) -> Response:
        """Sign out."""
        async with self._works() as work:
            await self._sign_out(work, visit.caller, visit.token)
        response = RedirectResponse(
            f"{self._pages.path}/console/sign-in?{DONE}=signed_out", _SEE_OTHER, {"Cache-Control": "no-store"}
        )
        self._door.cookies.drop_session(response)
        return response

    async def overview(self, visit: Visit) -> Response:
        """How everything stands."""
        if not visit.may(Scope.ACCOUNTS_READ):
            return visit.show("overview.html", title="Overview", figures=None, slow=False, sources=[])
        try:
            figures = await self._figures(visit.caller.environment)
        except NotCounted:
            return visit.show("overview.html", title="Overview", figures=None, slow=True, sources=[])
        tried = [it.succeeded + it.failed for it in figures.minutes]
        return visit.show(
            "overview.html",
            title="Overview",
            figures=figures,
            slow=False,
            counts=_counts(figures),
            rate=_rate(figures),
            untold=figures.untold.count if figures.untold.oldest > _TOLD_WITHIN else 0,
            most_untold=MOST_UNTOLD,
            sources=_in_trouble(figures, await all_sources(visit)),
            ahead=bars(figures.ahead),
            tried=bars(tried),
            failures=bars([it.failed for it in figures.minutes], beside=tried),
        )

    async def _caller(self, request: Request, key: Secret, environment: str | None) -> Caller:
        address = address_of(request)
        caller = await self._authenticate(hash_key(key), environment=environment, address=address)
        self._wired.uses.note(caller)
        return caller

    def _form(
        self,
        request: Request,
        status: int = 200,
        *,
        next_page: str,
        notice: str | None = None,
        complaint: str | None = None,
    ) -> Response:
        known = self._door.cookies.doorstep(request.cookies)
        doorstep = known or new_token()
        response = self._pages.show(
            "sign-in.html",
            status,
            title="Sign in",
            form_key=form_key(doorstep),
            next_page=safe_next(next_page),
            notice=notice,
            complaint=complaint,
            signed_out=request.query_params.get(DONE) == "signed_out",
        )
        if known is None:
            self._door.cookies.put_doorstep(response, doorstep)
        return response


def _counts(figures: EnvironmentFigures) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for group, number in figures.accounts.items():
        failing = group.state is AccountState.ACTIVE and group.health is Health.FAILING
        counts["failing" if failing else group.state.value] += number
        if group.reason is not None and group.reason.needs_reauthorization:
            counts["reconnect"] += number
        counts["all"] += number
    return {name: counts[name] for name in ("all", "active", "failing", "pending", "disabled", "reconnect")}


def _rate(figures: EnvironmentFigures) -> float:
    # The last one is still under way.
    latest = figures.minutes[-6:-1]
    return sum(minute.succeeded for minute in latest) / len(latest)


def _in_trouble(figures: EnvironmentFigures, sources: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sources that are paused, tried with one account, look down, or have failing accounts."""
    failing: Counter[str] = Counter()
    for group, number in figures.accounts.items():
        if group.state is AccountState.ACTIVE and group.health is Health.FAILING:
            failing[format_id(IdKind.SOURCE, group.source_id)] += number
    down = {format_id(IdKind.SOURCE, source_id) for source_id in figures.down}
    return [
        {**source, "failing": failing[source["id"]], "is_down": source["id"] in down}
        for source in sources
        if source["state"] == "paused" or source["proving"] or source["id"] in down or failing[source["id"]]
    ]
