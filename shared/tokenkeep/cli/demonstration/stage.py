"""What a show needs around it: the provider, the source, the group on the stream; all of it gone at its end."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer
from tokenkeep.adapters.redis.connection import connect
from tokenkeep.cli.demonstration import terminal
from tokenkeep.cli.demonstration.api import DemoApi, open_api
from tokenkeep.cli.demonstration.board import Board
from tokenkeep.cli.demonstration.browser import DemoBrowser, open_browser
from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.plan import Plan
from tokenkeep.cli.demonstration.show import Show
from tokenkeep.cli.demonstration.subscriber import Subscriber
from tokenkeep.domain.ids import new_correlation_id
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings, require_redis


@dataclass(frozen=True, slots=True)
class Stage:
    """What is there when a show begins. `since` is the feed's cursor from before the source's first event."""

    show: Show
    board: Board
    provider: DemoProvider
    api: DemoApi
    browser: DemoBrowser
    source_id: str
    since: str


async def perform(plan: Plan, settings: Settings, url: str) -> None:
    """Set the stage, play, clear it.

    Args:
        plan: What is asked of this run.
        settings: Those of the household's services, admin key and Redis among them.
        url: Where the API answers.

    Raises:
        DemoFailure: The API or the provider refuses what the show can't do without.
    """
    on_line = terminal.print_line if plan.plain else terminal.keep_quiet
    async with set_stage(plan, settings, url, on_line=on_line) as stage:
        try:
            await _play(stage.show, plan, stage.board, settings)
        finally:
            # Also when it was interrupted.
            terminal.print_line(datetime.now(UTC), stage.show.summary())


@asynccontextmanager
async def set_stage(
    plan: Plan, settings: Settings, url: str, *, on_line: Callable[[datetime, str], None]
) -> AsyncIterator[Stage]:
    """A provider, its source, and a show that can begin. `on_line` gets each thing worth a line.

    Raises:
        DemoFailure: The API refuses what it takes.
    """
    if settings.admin_key is None:
        msg = "the demo needs an admin key"
        raise DemoFailure(msg)
    options = ProviderOptions(token_lifetime_s=plan.token_lifetime_s, client_secret=Secret(secrets.token_urlsafe(32)))
    board = Board(on_line=on_line)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ProviderServer(DemoProvider(options)))
        api = await stack.enter_async_context(open_api(url, settings.admin_key))
        browser = await stack.enter_async_context(open_browser(server.url, client_id=options.client_id))
        subscriber = await stack.enter_async_context(subscribed(settings))
        await api.retire_sources()
        since = await api.present()
        source_id = await api.create_source(
            server.url, client_id=options.client_id, client_secret=options.client_secret
        )
        stack.push_async_callback(_retire, api)
        board.tell(f"a provider listens on {server.url}; its access tokens live {plan.token_lifetime_s} s")
        show = Show(
            plan,
            board,
            provider=server.provider,
            browser=browser,
            api=api,
            subscriber=subscriber,
            source_id=source_id,
        )
        yield Stage(show, board, server.provider, api, browser, source_id, since)


def subscribed(settings: Settings) -> Subscriber:
    """A subscriber of its own group."""
    return Subscriber(connect(require_redis(settings)), group=f"demo-{new_correlation_id()}")


async def _retire(api: DemoApi) -> None:
    """Pause the source before its provider goes, or refreshes would run into the void. The next run does it if not."""
    with contextlib.suppress(DemoFailure):
        await api.retire_sources()


async def _play(show: Show, plan: Plan, board: Board, settings: Settings) -> None:
    if plan.plain:
        await show.play()
        return
    with terminal.screen_to_itself(settings.data_dir / "demo.log") as console:
        await show.play(terminal.live_table(console, board, lifetime_s=plan.token_lifetime_s))
