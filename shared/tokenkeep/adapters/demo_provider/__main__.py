"""`python -m tokenkeep.adapters.demo_provider`: the provider as a process of its own."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from tokenkeep.adapters.demo_provider.options import ProviderOptions
from tokenkeep.adapters.demo_provider.provider import DemoProvider
from tokenkeep.adapters.demo_provider.serving import ProviderServer
from tokenkeep.domain.secret import Secret


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    default = ProviderOptions()
    described = argparse.ArgumentParser(
        prog="python -m tokenkeep.adapters.demo_provider",
        description="An OAuth 2 provider on loopback, for demos and tests. The first line it prints is its URL.",
    )
    add = described.add_argument
    add("--port", type=int, default=0, help="0, the default, takes a free one")
    add("--token-lifetime", type=int, default=default.token_lifetime_s, metavar="S", help="of access tokens")
    add("--grace", type=float, default=default.grace_s, metavar="S", help="how long a used refresh token still works")
    add("--rotation", action=argparse.BooleanOptionalAction, default=default.rotates)
    add("--reuse-detection", action=argparse.BooleanOptionalAction, default=default.detects_reuse)
    add("--pkce", action=argparse.BooleanOptionalAction, default=default.requires_pkce, help="whether it is required")
    add("--client-id", default=default.client_id)
    add("--client-secret", default=default.client_secret.reveal(), help="made up, as all that it guards")
    return described


def options(given: argparse.Namespace) -> ProviderOptions:
    """The provider's options by the command line.

    Raises:
        ValueError: A time is out of range.
    """
    return ProviderOptions(
        token_lifetime_s=given.token_lifetime,
        rotates=given.rotation,
        detects_reuse=given.reuse_detection,
        grace_s=given.grace,
        requires_pkce=given.pkce,
        client_id=given.client_id,
        client_secret=Secret(given.client_secret),
    )


async def serve(provider: DemoProvider, port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ProviderServer(provider, port=port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it; what can't be done ends it with one line."""
    command_line = parser()
    given = command_line.parse_args(arguments)
    try:
        provider = DemoProvider(options(given))
        asyncio.run(serve(provider, given.port))
    except (ValueError, OSError, OverflowError) as error:
        command_line.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
