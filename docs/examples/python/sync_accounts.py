"""Asks a provider's API about every active account of a source, at most ten at a time, with tokens that follow events.

python sync_accounts.py SOURCE URL, with TOKENKEEP_URL and TOKENKEEP_KEY set
"""

import asyncio
import os
import sys

import httpx

from tokenkeep.client import Account, AccountDisabled, AsyncTokenkeep, TokenkeepAuth, Unreachable


async def main(source_id: str, url: str) -> None:
    """Ask about each account, ten at a time."""
    at_once = asyncio.Semaphore(10)
    async with (
        AsyncTokenkeep(os.environ["TOKENKEEP_URL"], os.environ["TOKENKEEP_KEY"]) as client,
        await client.tokens.follow_events(),
        httpx.AsyncClient(timeout=10) as api,
        asyncio.TaskGroup() as tasks,
    ):

        async def sync(account: Account) -> None:
            async with at_once:
                try:
                    answer = await api.get(url, auth=TokenkeepAuth(client, account.id))
                except (AccountDisabled, Unreachable, httpx.TransportError) as error:
                    print(account.external_id, type(error).__name__)
                else:
                    print(account.external_id, answer.status_code)

        async for account in client.accounts.iterate(source_id=source_id, state="active"):
            tasks.create_task(sync(account))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
