"""Services that ask for tokens all the while, and use each that they get."""

import asyncio
from datetime import UTC, datetime

from tokenkeep.cli.demonstration.api import DemoApi
from tokenkeep.cli.demonstration.browser import DemoBrowser
from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.promises import Calls

_EVERY_S = 1.0
_LEFT_S = 1
"""What must be left of a token: it is used at once."""
_WAIT_S = 5
"""For how long they wait for a refresh, where there is no living token in store."""


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
            asking = [one for one in accounts if one["external_id"] not in self._gone]
            await asyncio.gather(*(self._ask(one["id"], one["external_id"]) for one in asking))
            await asyncio.sleep(_EVERY_S)

    async def _ask(self, account_id: str, user: str) -> None:
        try:
            token = await self._api.token(account_id, min_ttl_s=_LEFT_S, wait_s=_WAIT_S)
        except DemoFailure:
            self.calls.sent_away += 1
            return
        is_taken = await self._browser.takes(token.value)
        if user in self._gone or (not is_taken and datetime.now(UTC) >= token.expires_at):
            return  # a grant that was taken back meanwhile, or a machine that was too slow to use the token in its life
        self.calls.handed_out += 1
        self.calls.taken += is_taken
