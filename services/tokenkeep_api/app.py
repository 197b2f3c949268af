"""The ASGI application. Making it opens nothing: whoever runs it starts and stops what is wired."""

import asyncio
from functools import cache
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tokenkeep.adapters.telemetry.health_server import operations_routes
from tokenkeep.settings import Settings
from tokenkeep_api.authentication import Authentication
from tokenkeep_api.client_addresses import ClientAddresses
from tokenkeep_api.console.console import console_routes
from tokenkeep_api.console.pages import ConsolePages
from tokenkeep_api.description import describe
from tokenkeep_api.envelope import Envelope, fixed_headers
from tokenkeep_api.event_streams import STREAM_TIMES, StreamTimes
from tokenkeep_api.fast_path import TokenFastPath, TokenVending
from tokenkeep_api.pages import Pages
from tokenkeep_api.plain_words import PlainWords
from tokenkeep_api.problems import install
from tokenkeep_api.reference_page import PAGE_POLICY, render_reference
from tokenkeep_api.refusals import Refusals
from tokenkeep_api.rendering import JSON_TYPE
from tokenkeep_api.request_bodies import BODY_DEADLINE_S, PIECE_DEADLINE_S, BoundedBodies
from tokenkeep_api.routes import (
    accounts,
    api_keys,
    audit,
    authorizations,
    connect,
    custody,
    event_feed,
    events,
    imports,
    provider_hooks,
    providers,
    sources,
    webhooks,
)
from tokenkeep_api.routes.connect_pages import ConnectPages
from tokenkeep_api.routes.tokens import TOKEN_PATH, TokenRoutes
from tokenkeep_api.short_way import Refusing, ShortWay
from tokenkeep_api.traced_requests import TracedRequests
from tokenkeep_api.wired import Wired


def create_app(
    wired: Wired,
    *,
    body_deadline_s: float = BODY_DEADLINE_S,
    piece_deadline_s: float = PIECE_DEADLINE_S,
    stream_times: StreamTimes = STREAM_TIMES,
) -> ASGIApp:
    """The API over these use-cases.

    Args:
        wired: The use-cases.
        body_deadline_s: How long a request's body may take to arrive, in seconds.
        piece_deadline_s: How long each piece of an import may take to arrive, in seconds.
        stream_times: How long streams of events take.
    """
    settings, traces = wired.foundation.settings, wired.foundation.traces
    pages, console_pages = Pages.load(settings.external_url), ConsolePages.load(settings.external_url)
    # The first one is the outermost.
    middleware = [
        Middleware(
            Envelope,
            served=wired.foundation.metrics.request_served,
            https=_is_https(settings),
        ),
        Middleware(
            Authentication,
            authenticate=wired.authenticate,
            uses=wired.uses,
            addresses=ClientAddresses(settings.trusted_proxies),
            limits=wired.limits,
        ),
        *([] if traces is None else [Middleware(TracedRequests, traces=traces)]),
        Middleware(Refusals, note=wired.reads.note),
        Middleware(BoundedBodies, deadline_s=body_deadline_s, piece_deadline_s=piece_deadline_s),
    ]
    # Its own pages of documentation are off: they load scripts from elsewhere.
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(PlainWords, pages=pages), *middleware],
    )
    hot = TokenRoutes(wired)
    app.router.routes.extend(hot.routes())
    routers = described_routers(wired, stream_times)
    for router in routers:
        app.include_router(router)
    app.router.routes.extend(ConnectPages(wired, pages).routes())
    foundation = wired.foundation
    app.router.routes.extend(operations_routes(foundation.metrics, foundation.checks(), leaving=foundation.leaving))
    app.router.routes.extend(_documentation(routers, settings.external_url))
    install(app, wired.connecting.link_account)
    app.router.routes.extend(console_routes(wired, app, console_pages))
    return ShortWay(app, hot.token, middleware, Refusing(app.exception_handlers))


def described_routers(wired: Wired, stream_times: StreamTimes = STREAM_TIMES) -> list[APIRouter]:
    """The routes that the API's description is made of, but for the hot ones."""
    modules = (
        providers,
        sources,
        accounts,
        imports,
        custody,
        events,
        connect,
        webhooks,
        authorizations,
        api_keys,
        audit,
    )
    return [
        *(module.routes(wired) for module in modules),
        event_feed.routes(wired, stream_times),
        provider_hooks.routes(wired),
    ]


def fast_path(wired: Wired, **times: float) -> TokenFastPath | None:
    """What answers plain requests for tokens before the application is asked; None where each of them is to be seen, in the log or as a trace. `times`: as `TokenFastPath` has them."""
    foundation = wired.foundation
    settings = foundation.settings
    if foundation.traces is not None or settings.log_level == "debug":
        return None
    vending = TokenVending(
        authenticate=wired.authenticate,
        tokens=wired.tokens.ready,
        at_once=wired.vend.at_once,
        limits=wired.limits,
        addresses=ClientAddresses(settings.trusted_proxies),
        uses=wired.uses,
        reads=wired.reads.note,
        vended=foundation.metrics.token_vended,
        served=foundation.metrics.request_served,
        headers=fixed_headers(https=_is_https(settings)),
        url=settings.external_url,
    )
    return TokenFastPath(vending, TOKEN_PATH, **times)


def _is_https(settings: Settings) -> bool:
    return settings.external_url.startswith("https://")


def _documentation(routers: list[APIRouter], public_url: str) -> list[Route]:
    @cache
    def document() -> dict[str, Any]:
        return describe(routers, public_url)

    @cache
    def as_json() -> bytes:
        return orjson.dumps(document())

    @cache
    def page() -> str:
        return render_reference(document())

    # Few ask, and working these out takes as long as all else that an application is made of: the first one waits for it, beside the loop.
    async def openapi(_request: Request) -> Response:
        return Response(await asyncio.to_thread(as_json), media_type=JSON_TYPE)

    async def docs(_request: Request) -> Response:
        return HTMLResponse(await asyncio.to_thread(page), headers={"Content-Security-Policy": PAGE_POLICY})

    return [Route("/openapi.json", openapi), Route("/docs", docs)]
