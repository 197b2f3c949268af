"""The console's pages: rendered here, styled and moved from the wheel. What they show is escaped."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import resources
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep_api.console import words
from tokenkeep_api.named_route import NamedRoute

_ASSETS = {"console.css": "text/css", "console.js": "text/javascript"}
_AT = "/console/assets"
_A_DAY_S = 86_400
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class ConsolePages:
    """Templates and assets. `path` is the path of the public URL, which a proxy may cut off."""

    templates: Environment
    assets: Mapping[str, bytes]
    path: str

    @classmethod
    def load(cls, public_url: str) -> Self:
        """Everything read from the package."""
        package = __package__.partition(".")[0]
        held = resources.files(package).joinpath("assets")
        assets = {name: held.joinpath(name).read_bytes() for name in _ASSETS}
        templates = Environment(
            loader=PackageLoader(package),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        path = urlsplit(public_url).path.rstrip("/")
        # What has changed has a new address, so nobody looks at a page in an old style.
        stamped = {name: f"{path}{_AT}/{name}?{sha256(content).hexdigest()[:12]}" for name, content in assets.items()}
        templates.globals |= {"base": f"{path}/console", "assets": stamped, "words": words}
        templates.filters |= {"clock": words.clock, "ago": ago, "query": query, "account_id": _account_id}
        return cls(templates, assets, path)

    def show(self, template: str, status: int = 200, **facts: Any) -> HTMLResponse:
        """A page of this template, `now` among its facts."""
        text = self.templates.get_template(f"console/{template}").render(now=datetime.now(UTC), **facts)
        return HTMLResponse(text, status, _HEADERS)

    def routes(self) -> list[Route]:
        """The assets."""

        async def asset(request: Request) -> Response:
            name = request.path_params["name"]
            if name not in self.assets:
                return Response(status_code=404)
            headers = {"Cache-Control": f"public, max-age={_A_DAY_S}, immutable"}
            return Response(self.assets[name], media_type=_ASSETS[name], headers=headers)

        return [NamedRoute(f"{_AT}/{{name}}", asset, methods=["GET"])]


def ago(moment: datetime | str, now: datetime) -> str:
    """A time beside now: `3 min ago`, `in 2 h`."""
    distance = words.moment_at(moment) - now
    span = words.span(abs(distance))
    return f"in {span}" if distance > timedelta(0) else f"{span} ago"


def _account_id(account_id: AccountId) -> str:
    return format_id(IdKind.ACCOUNT, account_id)


def query(given: Mapping[str, str], **changed: str | None) -> str:
    """The query of an address: what is given, with this changed; None takes a name away."""
    kept = {name: value for name, value in {**given, **changed}.items() if value}
    return f"?{urlencode(kept)}" if kept else "?"
