"""Services that ask for tokens all the while, and use each that they get."""

import asyncio

from tokenkeep.cli.demonstration.api import DemoApi
from tokenkeep.cli.demonstration.browser import DemoBrowser
from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.promises import Calls

_EVERY_S = 1.0
_LEFT_S = 1
"""What must be left of a token: it is used at once."""


class Callers:
    """Ask for the tokens of a source's accounts in turns; `calls` is how they fared."""

    def __init__(self, api: DemoApi, browser: DemoBrowser, *, source_id: str) -> None:
        self._api = api
        self._browser = browser
        self._source_id = source_id
        self._gone: frozenset[str] = frozenset()
        self.calls = Calls()

    def spare(self, users: frozenset[str]) -> None:
        """Ask no more for these users' tokens: they have taken their grants back, and the provider takes none of them."""
        self._gone = users

    async def call(self) -> None:
        """Ask until cancelled."""
        while True:  # bounded by the rehearsal; cancelled when it ends
            try:
                accounts = await self._api.accounts(self._source_id)
            except DemoFailure:
                accounts = []
            for account in accounts:
                if account["external_id"] not in self._gone:
                    await self._ask(account["id"], account["external_id"])
            await asyncio.sleep(_EVERY_S)

    async def _ask(self, account_id: str, user: str) -> None:
        try:
            token = await self._api.token(account_id, min_ttl_s=_LEFT_S, wait_s=0)
        except DemoFailure:
            self.calls.sent_away += 1
            return
        is_taken = await self._browser.takes(token)
        if user not in self._gone:
            self.calls.handed_out += 1
            self.calls.taken += is_taken
