"""Pages for people: rendered here, styled from the wheel, without a script. What they show is escaped."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import Any, Self
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

STYLESHEET = "/connect/assets/connect.css"
_A_DAY_S = 86_400
_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


@dataclass(frozen=True, slots=True)
class Pages:
    """Templates, and where the world finds us. `path` is the path of the public URL, which a proxy may cut off."""

    templates: Environment
    style: bytes
    stylesheet: str
    path: str

    @classmethod
    def load(cls, public_url: str) -> Self:
        """Everything read from the package."""
        package = __package__ or ""
        style = resources.files(package).joinpath("assets", "connect.css").read_bytes()
        templates = Environment(
            loader=PackageLoader(package),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        path = urlsplit(public_url).path.rstrip("/")
        # A new style has a new address, so nobody looks at a page in an old one.
        return cls(templates, style, f"{path}{STYLESHEET}?{sha256(style).hexdigest()[:12]}", path)

    def invitation(self, status: int, *, leads_to: Iterable[str], **facts: Any) -> HTMLResponse:
        """The page with the button. `leads_to` are addresses that its form may end at besides https ones."""
        return self._page("invitation.html", status, _policy(leads_to), facts)

    def credentials(self, status: int, *, leads_to: Iterable[str], **facts: Any) -> HTMLResponse:
        """The page with the form for credentials. `leads_to` as above."""
        return self._page("credentials.html", status, _policy(leads_to), facts)

    def message(
        self,
        status: int,
        title: str,
        text: str,
        *,
        again: str | None = None,
        back: str | None = None,
        reference: str | None = None,
    ) -> HTMLResponse:
        """A page that says one thing. `again` and `back` are where its links lead, `reference` what finds it in a log."""
        facts = {
            "title": title,
            "text": text,
            "again": again,
            "back": back,
            "back_host": None if back is None else urlsplit(back).netloc,
            "reference": reference,
        }
        return self._page("message.html", status, _policy(()), facts)

    def routes(self) -> list[Route]:
        """The stylesheet."""

        async def stylesheet(_request: Request) -> Response:
            return Response(
                self.style, media_type="text/css", headers={"Cache-Control": f"public, max-age={_A_DAY_S}, immutable"}
            )

        return [Route(STYLESHEET, stylesheet)]

    def _page(self, template: str, status: int, policy: str, facts: dict[str, Any]) -> HTMLResponse:
        text = self.templates.get_template(template).render(stylesheet=self.stylesheet, **facts)
        return HTMLResponse(text, status, {**_PRIVATE, "Content-Security-Policy": policy})


def _policy(leads_to: Iterable[str]) -> str:
    """The Content-Security-Policy.

    Chromium holds every redirect that follows a form to `form-action`: to the provider, through whatever hosts it signs its
    users in at, back to us, and on to the caller's own page. Those are https and can't be listed; what is not, is named.
    """
    plain = {origin for origin in map(_origin, leads_to) if origin.startswith("http://")}
    targets = " ".join(["'self'", "https:", *sorted(plain)])
    return f"default-src 'none'; style-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
