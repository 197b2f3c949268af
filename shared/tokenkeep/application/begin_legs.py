"""Begin with OAuth 1.0a: the provider gives temporary credentials, with which the end user is sent there."""

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from tokenkeep.application.begin_connect import SentOff, ThreeLegged
from tokenkeep.application.connect_sessions import hashed, new_token
from tokenkeep.application.create_account import TemporaryCredentials
from tokenkeep.application.finish_connect import NotConnected
from tokenkeep.application.finish_legs import sealed
from tokenkeep.application.invite_user import InviteUser
from tokenkeep.application.oauth1_legs import OAuth1Legs
from tokenkeep.application.ports import Vault
from tokenkeep.application.work import Works
from tokenkeep.domain.connect_session import ConnectFailure
from tokenkeep.domain.errors import CredentialsRejected, InvalidInput, ProviderUnavailable
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.oauth1_rules import OAuth1Rules, owner_authorization_url


@dataclass(frozen=True, slots=True)
class BeginLegs:
    """Asks the provider with no transaction open; then binds what it gave to the session and to the browser.

    The state stands in the callback's own query, for the protocol has none. As with OAuth 2, to begin again is to begin anew.
    """

    works: Works
    invite: InviteUser
    legs: OAuth1Legs
    vault: Vault
    redirect_uri: str

    async def __call__(self, link: Secret, wanted: ThreeLegged, *, browser: Secret) -> SentOff | NotConnected:
        """The provider's address, or why the user can't be sent there.

        Args:
            link: The token of the session's link.
            wanted: What `BeginConnect` has found out.
            browser: What only this browser knows; it must come back with it.

        Raises:
            NotFound: There is no such link any more.
            SessionEnded: Its time is over by now, or it has done its work.
        """
        invitation = wanted.invitation
        state = new_token()
        try:
            temporary, url = await self._asked(wanted, state)
        except CredentialsRejected:
            return await self._failed(wanted, ConnectFailure.CREDENTIALS_REJECTED, browser)
        except ProviderUnavailable:
            return await self._failed(wanted, ConnectFailure.PROVIDER_UNAVAILABLE, browser)
        except InvalidInput:
            return await self._failed(wanted, ConnectFailure.MISCONFIGURED, browser)
        async with self.works() as work:
            session = (await self.invite(work, link)).session
            now = await work.accounts.now()
            properties = {**session.properties, **wanted.filled}
            await work.connect_sessions.begin(
                replace(session, properties=properties, expires_at=session.expiry_once_begun(now)),
                state_hash=hashed(state),
                browser_hash=hashed(browser),
                verifier=sealed(self.vault, invitation.session.id, temporary),
            )
        return SentOff(url)

    async def _asked(self, wanted: ThreeLegged, state: Secret) -> tuple[TemporaryCredentials, str]:
        invitation = wanted.invitation
        source, rules = invitation.source, invitation.rules
        assert isinstance(rules, OAuth1Rules)  # noqa: S101 - that is what makes it three-legged
        properties = {**invitation.properties, **wanted.filled}
        callback = Secret(f"{self.redirect_uri}?{urlencode({'state': state.reveal()})}")
        temporary = await self.legs.temporary(source.id, source.environment, callback, properties)
        url = owner_authorization_url(
            rules,
            client_id=source.client_id or "",
            token=temporary.token,
            scopes=invitation.scopes,
            properties=properties,
        )
        return temporary, url

    async def _failed(self, wanted: ThreeLegged, failure: ConnectFailure, browser: Secret) -> NotConnected:
        session = wanted.invitation.session
        async with self.works() as work:
            await work.connect_sessions.fail(session.id, failure)
        return NotConnected(session, wanted.invitation.source, failure, browser)
