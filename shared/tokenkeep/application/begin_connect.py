"""Begin: the end user has pressed the button and is sent to the provider."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from tokenkeep.application.connect_sessions import VERIFIER, VERIFIER_VERSION, SealedVerifier, hashed, new_token
from tokenkeep.application.invite_user import Invitation, InviteUser
from tokenkeep.application.ports import Vault
from tokenkeep.application.work import Work
from tokenkeep.domain.ids import SessionId
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.authorization_request import authorization_url, fits, wants_pkce
from tokenkeep.providers.oauth1_rules import OAuth1Rules

_VERIFIER_BYTES = 48
"""They make a verifier of 64 characters; RFC 7636 wants 43 at least."""


class Complaint(StrEnum):
    """What is wrong with a value that the user filled in."""

    MISSING = "missing"
    MISFIT = "misfit"


@dataclass(frozen=True, slots=True)
class SentOff:
    """Where the user goes."""

    url: str


@dataclass(frozen=True, slots=True)
class Incomplete:
    """They have to fill in something first: by the property's name, what is wrong with it."""

    invitation: Invitation
    complaints: Mapping[str, Complaint]


@dataclass(frozen=True, slots=True)
class ThreeLegged:
    """The provider, one of OAuth 1.0a, has to be asked first (`BeginLegs`). `filled` is what the user has filled in."""

    invitation: Invitation
    filled: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BeginConnect:
    """Makes the state and PKCE's verifier, and binds both to the session and to the browser.

    To begin again is to begin anew: what was begun before, in another tab or by another person, can't be ended any more.
    """

    invite: InviteUser
    vault: Vault
    redirect_uri: str

    async def __call__(
        self, work: Work, link: Secret, *, browser: Secret, given: Mapping[str, str]
    ) -> SentOff | Incomplete | ThreeLegged:
        """The provider's address, or what is still missing; or that the provider is to be asked, which no transaction waits for.

        Args:
            work: The transaction.
            link: The token of the session's link.
            browser: What only this browser knows; it must come back with it.
            given: What the user filled in, by the names of the properties that are missing.

        Raises:
            NotFound: There is no such link.
            SessionEnded: Its time is over, or it has done its work.
            InvalidInput: The source's address can't be filled in, which is its developer's to mend.
        """
        invitation = await self.invite(work, link)
        filled = {wanted.name: given.get(wanted.name, "").strip() for wanted in invitation.missing}
        complaints = {
            wanted.name: Complaint.MISFIT if filled[wanted.name] else Complaint.MISSING
            for wanted in invitation.missing
            if not fits(wanted, filled[wanted.name])
        }
        if complaints:
            return Incomplete(invitation, complaints)
        session, rules = invitation.session, invitation.rules
        if isinstance(rules, OAuth1Rules):
            return ThreeLegged(invitation, filled)
        state = new_token()
        verifier = Secret(secrets.token_urlsafe(_VERIFIER_BYTES)) if wants_pkce(rules) else None
        url = authorization_url(
            rules,
            client_id=invitation.source.client_id or "",
            redirect_uri=self.redirect_uri,
            scopes=invitation.scopes,
            state=state,
            code_verifier=verifier,
            properties={**invitation.properties, **filled},
        )
        now = await work.accounts.now()
        begun = replace(session, properties={**session.properties, **filled}, expires_at=session.expiry_once_begun(now))
        await work.connect_sessions.begin(
            begun,
            state_hash=hashed(state),
            browser_hash=hashed(browser),
            verifier=None if verifier is None else self._sealed(session.id, verifier),
        )
        return SentOff(url)

    def _sealed(self, session_id: SessionId, verifier: Secret) -> SealedVerifier:
        key = self.vault.new_data_key(session_id)
        plain = verifier.reveal().encode()
        return SealedVerifier(key, self.vault.seal(session_id, key, VERIFIER, VERIFIER_VERSION, plain))
