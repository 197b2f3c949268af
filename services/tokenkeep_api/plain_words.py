"""Problems told to people: under `/connect` and `/console`, where browsers come, a problem document becomes a page."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenkeep_api.connect_words import status_words
from tokenkeep_api.pages import Pages
from tokenkeep_api.problems import PROBLEM_TYPE

_SERVER_ERROR = 500
_PAGES = ("/connect/", "/console")


class PlainWords:
    """ASGI middleware, outside of whatever answers with problems. Status and headers stay; only the words are others."""

    def __init__(self, app: ASGIApp, *, pages: Pages) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(_PAGES):
            await self._app(scope, receive, send)
            return
        replaced = False

        async def translated(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start":
                if Headers(raw=message["headers"]).get("content-type") == PROBLEM_TYPE:
                    replaced = True
                    await self._send_page(message, send)
                    return
            elif replaced:
                return
            await send(message)

        await self._app(scope, receive, translated)

    async def _send_page(self, start: Message, send: Send) -> None:
        headers = MutableHeaders(raw=list(start["headers"]))
        words = status_words(start["status"])
        reference = headers.get("x-request-id") if words.status >= _SERVER_ERROR else None
        page = self._pages.message(words.status, words.title, words.text, reference=reference)
        for name, value in page.headers.items():
            headers[name] = value
        await send({"type": "http.response.start", "status": start["status"], "headers": headers.raw})
        await send({"type": "http.response.body", "body": page.body})
