"""`/connect`: the pages on which end users connect accounts. Plain routes; a page's address is all that it takes.

No line of a log holds an address of these: the token, the state and the code stand in them.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tokenkeep.application.begin_connect import Complaint, SentOff, ThreeLegged
from tokenkeep.application.finish_connect import (
    Connected,
    Landing,
    NotConnected,
    OtherBrowser,
    TooLate,
    UnknownState,
)
from tokenkeep.application.finish_legs import LegsAnswer
from tokenkeep.application.invite_user import Invitation
from tokenkeep.domain.conflicts import SessionEnded
from tokenkeep.domain.connect_session import ConnectFailure
from tokenkeep.domain.errors import InvalidInput, MalformedId, NotFound
from tokenkeep.domain.ids import AccountId, IdKind, parse_id
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.token_request import filled
from tokenkeep_api import connect_words
from tokenkeep_api.browser_cookies import BrowserCookies, form_key, mint
from tokenkeep_api.connect_answers import ConnectAnswers, log_finish, redirect
from tokenkeep_api.connect_requests import FORM_KEY, address_of, form_in, link_in
from tokenkeep_api.connect_words import failure_words
from tokenkeep_api.named_route import NamedRoute
from tokenkeep_api.pages import Pages
from tokenkeep_api.routes.credential_pages import CredentialPages
from tokenkeep_api.wired import Wired

_ANSWER_MEMBER = re.compile(r"[^\x00-\x1f\x7f]{1,16384}")
_ANSWER_NAMES = frozenset({"state", "code", "error", "iss", "oauth_token", "oauth_verifier", "oauth_problem", "denied"})
_PROPERTY = "property."

_log = structlog.get_logger("tokenkeep.api")


class ConnectPages:
    """The endpoints, over the use-cases."""

    def __init__(self, wired: Wired, pages: Pages) -> None:
        self._connecting = wired.connecting
        self._works = wired.works
        self._pages = pages
        self._answers = ConnectAnswers(pages, wired.foundation.catalogue)
        self._cookies = BrowserCookies(secure=wired.foundation.settings.external_url.startswith("https://"))
        self._credentials = CredentialPages(wired, pages, self._answers, self._cookies)

    def routes(self) -> list[Route]:
        """In the order in which they must be matched."""
        return [
            *self._pages.routes(),
            NamedRoute("/connect/callback", self.finish, methods=["GET"]),
            NamedRoute("/connect/accounts/{account_id}", self.follow_link, methods=["GET"]),
            NamedRoute("/connect/{token}", self.invite, methods=["GET"]),
            NamedRoute("/connect/{token}", self.begin, methods=["POST"]),
        ]

    async def follow_link(self, request: Request) -> Response:
        """A durable link of an account: on to a session of its own."""
        try:
            account_id = AccountId(parse_id(IdKind.ACCOUNT, request.path_params["account_id"]))
            token = await self._connecting.follow_link(
                account_id, request.query_params.get("key", ""), address=address_of(request)
            )
        except (MalformedId, NotFound):
            return self._answers.message(connect_words.NO_SUCH_LINK)
        return redirect(f"{self._pages.path}/connect/{token.reveal()}")

    async def invite(self, request: Request) -> Response:
        """Who asks for what, and the button; or the form, where users bring their credentials themselves."""
        try:
            link = link_in(request)
            browser = self._cookies.known(request.cookies, link) or mint(link)
            shown = await self._credentials.show(link, browser)
            if shown is not None:
                return shown
            async with self._works() as work:
                invitation = await self._connecting.invite(work, link)
        except (NotFound, SessionEnded) as refusal:
            return self._answers.closed(refusal)
        return self._invitation(invitation, browser)

    async def begin(self, request: Request) -> Response:
        """The button was pressed: on to the provider, unless something is to be filled in first, or is all that it takes."""
        form = form_in(await request.body())
        try:
            link = link_in(request)
            browser = self._cookies.known(request.cookies, link)
            answered = await self._credentials.submit(request, link, browser, form)
            return answered or await self._begin(link, browser, form)
        except (NotFound, SessionEnded) as refusal:
            return self._answers.closed(refusal)
        except InvalidInput as fault:
            _log.warning("connect_misconfigured", field=fault.field)
            return self._answers.message(failure_words(ConnectFailure.MISCONFIGURED, provider="", source="their side"))

    async def _begin(self, link: Secret, browser: Secret | None, form: Mapping[str, str]) -> Response:
        given = {name.removeprefix(_PROPERTY): value for name, value in form.items() if name.startswith(_PROPERTY)}
        async with self._works() as work:
            if browser is None or Secret(form.get(FORM_KEY, "")) != Secret(form_key(browser)):
                # A form on somebody else's page, or a browser that keeps no cookies: neither may start anything.
                invitation = await self._connecting.invite(work, link)
                return self._invitation(
                    invitation, browser or mint(link), given, status=403, notice=connect_words.PRESS_AGAIN
                )
            outcome = await self._connecting.begin(work, link, browser=browser, given=given)
        if isinstance(outcome, ThreeLegged):
            return await self._begin_legs(link, outcome, browser)
        if not isinstance(outcome, SentOff):
            return self._invitation(outcome.invitation, browser, given, status=422, complaints=outcome.complaints)
        response = redirect(outcome.url)
        self._cookies.put(response, browser)
        return response

    async def _begin_legs(self, link: Secret, wanted: ThreeLegged, browser: Secret) -> Response:
        outcome = await self._connecting.begin_legs(link, wanted, browser=browser)
        if not isinstance(outcome, SentOff):
            log_finish(outcome)
            return self._answers.not_connected(outcome)
        response = redirect(outcome.url)
        self._cookies.put(response, browser)
        return response

    async def finish(self, request: Request) -> Response:
        """The user is back from the provider."""
        landing = self._landing(request)
        if landing is None:
            return self._answers.message(connect_words.UNREADABLE)
        finish = await self._connecting.finish(landing, correlation_id=request.state.correlation_id)
        log_finish(finish)
        match finish:
            case Connected():
                return self._answers.connected(finish)
            case NotConnected():
                return self._answers.not_connected(finish)
            case UnknownState():
                return self._answers.message(connect_words.USED_UP)
            case OtherBrowser():
                return self._answers.message(connect_words.OTHER_BROWSER)
            case TooLate(state=state):
                return self._answers.too_late(state)

    def _landing(self, request: Request) -> Landing | None:
        """What the address says; None when a member comes twice or can't be."""
        given = request.query_params.multi_items()
        members = {name: value for name, value in given if name in _ANSWER_NAMES}
        asked = [name for name, _ in given if name in members]
        if len(asked) > len(members) or not all(map(_ANSWER_MEMBER.fullmatch, members.values())):
            return None
        if "state" not in members:
            return None
        code, token, verifier = (members.get(name) for name in ("code", "oauth_token", "oauth_verifier"))
        return Landing(
            state=Secret(members["state"]),
            browsers=tuple(self._cookies.all(request.cookies)),
            code=None if code is None else Secret(code),
            error=members.get("error"),
            issuer=members.get("iss"),
            address=address_of(request),
            legs=LegsAnswer(
                token=None if token is None else Secret(token),
                verifier=None if verifier is None else Secret(verifier),
                problem=members.get("oauth_problem"),
                denied="denied" in members,
            ),
        )

    def _invitation(
        self,
        it: Invitation,
        browser: Secret,
        given: Mapping[str, str] | None = None,
        *,
        status: int = 200,
        notice: str | None = None,
        complaints: Mapping[str, Complaint] | None = None,
    ) -> Response:
        host = _host(it, given or {})
        known = it.provider.authorization_url is not None
        provider = it.provider.name if known else host
        fields = [
            {
                "id": f"property-{number}",
                "input": f"{_PROPERTY}{wanted.name}",
                "title": wanted.title,
                "value": (given or {}).get(wanted.name, ""),
                "complaint": _complaint((complaints or {}).get(wanted.name)),
            }
            for number, wanted in enumerate(it.missing, start=1)
        ]
        response = self._pages.invitation(
            status,
            leads_to=[url for url in (it.rules.authorization_url, it.session.return_url) if url is not None],
            title=f"{'Reconnect' if it.session.reconnects else 'Connect'} {provider}",
            notice=notice,
            reconnects=it.session.reconnects is not None,
            source=it.source.name,
            provider=provider,
            account=f"your {provider} account" if known else f"your account at {host}",
            host=host,
            fields=fields,
            scopes=it.scopes,
            form_key=form_key(browser),
        )
        self._cookies.put(response, browser)
        return response


def _host(it: Invitation, given: Mapping[str, str]) -> str:
    """Where the button leads, as far as that is known before something is filled in."""
    try:
        url = filled(it.rules, it.rules.authorization_url or "", {**it.properties, **given}, {"client_id": "client"})
    except InvalidInput:
        return it.provider.name
    return urlsplit(url).netloc or it.provider.name


def _complaint(complaint: Complaint | None) -> str | None:
    match complaint:
        case None:
            return None
        case Complaint.MISSING:
            return connect_words.FILL_IN
        case Complaint.MISFIT:
            return connect_words.LOOKS_WRONG
