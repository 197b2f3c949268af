"""How the connect flow ends, as browsers are told: a page, or the way back to whoever sent them."""

from typing import Final

import structlog
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tokenkeep.application.finish_connect import Connected, Finish, NotConnected
from tokenkeep.domain.conflicts import SessionEnded
from tokenkeep.domain.connect_session import SessionState
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep_api import connect_words
from tokenkeep_api.browser_cookies import link_of
from tokenkeep_api.connect_words import Words, failure_words
from tokenkeep_api.pages import Pages
from tokenkeep_api.return_addresses import with_answer

_SEE_OTHER: Final = 303
_PRIVATE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_UNNAMED: Final = "The other side"

_log = structlog.get_logger("tokenkeep.api")


class ConnectAnswers:
    """The answers, over the pages that say them."""

    def __init__(self, pages: Pages, catalogue: Catalogue) -> None:
        self._pages = pages
        self._catalogue = catalogue

    def message(self, words: Words) -> HTMLResponse:
        """A page that says this."""
        return self._pages.message(words.status, words.title, words.text)

    def connected(self, it: Connected) -> Response:
        """It is done."""
        account_id = format_id(IdKind.ACCOUNT, it.account_id)
        session_id = format_id(IdKind.SESSION, it.session.id)
        return_url = it.session.return_url
        if return_url is None:
            text = f"{it.source.name} has access now. You can close this page."
            return self._pages.message(200, "You are connected", text)
        answer = {
            "account_id": account_id,
            "session_id": session_id,
            "status": SessionState.CONNECTED.value,
            "result": it.result.reveal(),
        }
        return redirect(with_answer(return_url, answer))

    def not_connected(self, it: NotConnected) -> Response:
        """Why it is not, and where to go from there."""
        source = "whoever sent you here" if it.source is None else it.source.name
        provider = _UNNAMED if it.source is None else self._provider_name(it.source.provider)
        words = failure_words(it.failure, provider=provider, source=source)
        back = it.session.return_url
        if back is not None:
            answer = {
                "session_id": format_id(IdKind.SESSION, it.session.id),
                "status": SessionState.FAILED.value,
                "error": it.failure.value,
            }
            back = with_answer(back, answer)
        again = f"{self._pages.path}/connect/{link_of(it.browser).reveal()}" if words.again else None
        return self._pages.message(words.status, words.title, words.text, again=again, back=back)

    def closed(self, refusal: NotFound | SessionEnded) -> Response:
        """There is no such page, or there is none any more."""
        if isinstance(refusal, NotFound):
            return self.message(connect_words.NO_SUCH_LINK)
        return self.too_late(SessionState(refusal.state))

    def too_late(self, state: SessionState) -> Response:
        """The session has come to its end before."""
        return self.message(connect_words.DONE_BEFORE if state is SessionState.CONNECTED else connect_words.EXPIRED)

    def _provider_name(self, slug: str) -> str:
        provider = self._catalogue.get(slug)
        return _UNNAMED if provider.is_generic else provider.name


def redirect(url: str) -> Response:
    """On to an address, by GET, kept nowhere."""
    return RedirectResponse(url, _SEE_OTHER, _PRIVATE)


def log_finish(finish: Finish) -> None:
    """Note in the log what came of it. No address: the link's token, the state and the code stand in them."""
    match finish:
        case Connected(session=session, account_id=account_id):
            _log.info(
                "account_connected",
                session_id=format_id(IdKind.SESSION, session.id),
                account_id=format_id(IdKind.ACCOUNT, account_id),
            )
        case NotConnected(session=session, failure=failure):
            _log.warning(
                "account_not_connected", session_id=format_id(IdKind.SESSION, session.id), reason=failure.value
            )
        case _:
            _log.info("connect_answer_refused", reason=type(finish).__name__)
