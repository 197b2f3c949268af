"""Connect links: make one for an account, and follow one to a session."""

from dataclasses import dataclass
from datetime import timedelta

from tokenkeep.application.connect_sessions import Grants
from tokenkeep.application.linking import ConnectLinks
from tokenkeep.application.make_connect_session import MakeConnectSession, WantedSession
from tokenkeep.application.work import Works
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.connect_link import may_reconnect
from tokenkeep.domain.connect_session import CONNECT_LINK
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.secret import Secret

_LEFT = timedelta(minutes=5)
"""How long an open session must still last to be given again: so an account has a new one every five minutes at most."""


@dataclass(frozen=True, slots=True)
class LinkAccount:
    """Makes the link to a grant that only its end user can bring back."""

    links: ConnectLinks
    grants: Grants

    async def __call__(self, account_id: AccountId, environment: str) -> str | None:
        """The link; None when the environment has no such account, an operator has disabled it, or no page would help."""
        grant = await self.grants(account_id)
        if grant is None or grant.account.environment != environment or not may_reconnect(grant.account):
            return None
        links = (await self.links()).of(grant)
        return None if links is None else links.url(account_id, epoch=grant.epoch, now=grant.now)


@dataclass(frozen=True, slots=True)
class FollowConnectLink:
    """Opens a session for the account of a link, or gives the one that is open. Nobody is asked who they are."""

    works: Works
    links: ConnectLinks
    grants: Grants
    make: MakeConnectSession

    async def __call__(self, account_id: AccountId, key: str, *, address: str | None) -> Secret:
        """The token of the session's link.

        Raises:
            NotFound: The link is wrong, outdated, or of no use. Which of them is not told.
        """
        links = (await self.links()).maker
        grant = await self.grants(account_id)
        if grant is None or not links.opens(account_id, key, epoch=grant.epoch, now=grant.now):
            raise NotFound("connect link")
        caller = Caller(CONNECT_LINK, grant.account.environment, frozenset(), address)
        async with self.works() as work:
            # Under the lock, so that two who come at once get one session, and none comes after a re-authorisation.
            full = await work.full_accounts.lock(account_id, caller.environment)
            if full is None or full.lease.epoch != grant.epoch or not may_reconnect(full.account):
                raise NotFound("connect link")
            known = await work.connect_sessions.open_of(account_id, created_by=CONNECT_LINK, until=full.now + _LEFT)
            if known is not None:
                return links.session_token(known.id)
            wanted = WantedSession(full.account.source_id, account_id)
            try:
                _, token = await self.make(work, caller, wanted, token_of=links.session_token)
            except InvalidInput:
                # The source has lost what users are sent to since the link was made.
                raise NotFound("connect link") from None
            return token
