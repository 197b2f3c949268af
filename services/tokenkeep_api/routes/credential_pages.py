"""`/connect`: the pages on which end users fill in credentials that they have in hand: keys, passwords, tokens."""

from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from tokenkeep.application.ask_credentials import CredentialsAsked
from tokenkeep.application.connect_sessions import hashed
from tokenkeep.application.finish_connect import Connected, NotConnected, TooLate
from tokenkeep.application.submit_credentials import FilledForm, NotTaken, Slips
from tokenkeep.domain.errors import RateLimited
from tokenkeep.domain.rate_limit import Rate
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.connect_form import Asked, Slip
from tokenkeep_api import connect_words
from tokenkeep_api.browser_cookies import BrowserCookies, form_key, mint, result_of
from tokenkeep_api.connect_answers import ConnectAnswers, log_finish
from tokenkeep_api.connect_requests import FORM_KEY, address_of
from tokenkeep_api.pages import Pages
from tokenkeep_api.rate_limits import Buckets
from tokenkeep_api.wired import Wired

TRIES: Final = Rate(per_s=0.2, burst=10)
"""How often the form of one link may be sent, by whichever browser: enough for slips, too little to try keys that are not one's own."""


class CredentialPages:
    """The form and what comes of it. Both give None where the source's users go to their provider instead."""

    def __init__(self, wired: Wired, pages: Pages, answers: ConnectAnswers, cookies: BrowserCookies) -> None:
        self._connecting = wired.connecting
        self._works = wired.works
        self._pages = pages
        self._answers = answers
        self._cookies = cookies
        self._tries = Buckets("connect", TRIES)

    async def show(self, link: Secret, browser: Secret) -> Response | None:
        """The form, empty. Raises `NotFound` and `SessionEnded`."""
        async with self._works() as work:
            asked = await self._connecting.ask(work, link)
        return None if asked is None else self._form(asked, browser)

    async def submit(
        self, request: Request, link: Secret, browser: Secret | None, given: Mapping[str, str]
    ) -> Response | None:
        """The form was sent.

        Raises:
            NotFound: There is no such link.
            SessionEnded: Its time is over, or it has done its work.
            RateLimited: It was sent too often.
        """
        if browser is None or Secret(given.get(FORM_KEY, "")) != Secret(form_key(browser)):
            # A form on somebody else's page, or a browser that keeps no cookies: neither may bring anything.
            async with self._works() as work:
                asked = await self._connecting.ask(work, link)
            notice = connect_words.PRESS_AGAIN
            if asked is None:
                return None
            return self._form(asked, browser or mint(link), given, status=403, notice=notice)
        self._count(link)
        filled = FilledForm(
            given={name: Secret(text) for name, text in given.items()},
            result=result_of(browser),
            address=address_of(request),
            correlation_id=request.state.correlation_id,
        )
        outcome = await self._connecting.submit(link, filled)
        match outcome:
            case None:
                return None
            case Slips(asked=asked, slips=slips):
                words = connect_words.slips(secrets=_has_secrets(asked))
                return self._form(asked, browser, given, status=words.status, notice=words.notice, slips=slips)
            case NotTaken():
                return self._not_taken(outcome, browser, given)
            case Connected():
                log_finish(outcome)
                return self._answers.connected(outcome)
            case TooLate(state=state):
                log_finish(outcome)
                return self._answers.too_late(state)

    def _count(self, link: Secret) -> None:
        taken = self._tries.take(hashed(link), now=monotonic())
        if taken.retry_after_s is not None:
            raise RateLimited("on this page", retry_after=taken.retry_after_s)

    def _not_taken(self, it: NotTaken, browser: Secret, given: Mapping[str, str]) -> Response:
        refused = NotConnected(it.asked.session, it.asked.source, it.failure, browser)
        log_finish(refused)
        words = connect_words.not_taken(
            it.failure,
            provider=_name(it.asked),
            source=it.asked.source.name,
            auth_type=it.asked.provider.auth_type,
        )
        if words is None:
            return self._answers.not_connected(refused)
        return self._form(it.asked, browser, given, status=words.status, notice=words.notice)

    def _form(
        self,
        it: CredentialsAsked,
        browser: Secret,
        given: Mapping[str, str] | None = None,
        *,
        status: int = 200,
        notice: str | None = None,
        slips: Mapping[str, Slip] | None = None,
    ) -> Response:
        name = _name(it)
        verb = "Connect" if it.account is None else "Reconnect"
        fields = [
            _field(number, asked, given or {}, (slips or {}).get(asked.name))
            for number, asked in enumerate(it.form.asked, start=1)
        ]
        further = [field for field in fields if field["further"]]
        response = self._pages.credentials(
            status,
            leads_to=[url for url in (it.session.return_url,) if url is not None],
            title=f"{verb} {name or 'your account'}",
            notice=notice,
            reconnects=it.account is not None,
            source=it.source.name,
            account=f"your {name} account" if name else "your account",
            help=it.provider.credentials_help,
            fields=[field for field in fields if not field["further"]],
            further=further,
            further_open=any(field["value"] or field["complaint"] for field in further),
            form_key=form_key(browser),
            button=verb,
        )
        self._cookies.put(response, browser)
        return response


def _field(number: int, asked: Asked, given: Mapping[str, str], slip: Slip | None) -> dict[str, Any]:
    """What the template needs of a field. A secret is never shown again."""
    value = "" if asked.secret else given.get(asked.name, "")
    return {
        "id": f"field-{number}",
        "input": asked.name,
        "title": asked.title,
        "help": asked.help,
        "secret": asked.secret,
        "required": asked.required,
        "further": asked.further,
        "lines": asked.lines,
        "longest": asked.longest,
        "value": value,
        "complaint": None if slip is None else connect_words.slip_words(slip),
    }


def _name(it: CredentialsAsked) -> str | None:
    """What users know the provider by."""
    return None if it.provider.is_generic else it.provider.name


def _has_secrets(it: CredentialsAsked) -> bool:
    return any(asked.secret for asked in it.form.asked)
