"""The end of OAuth 1.0a's way through a browser: the answer is the session's own, and becomes token credentials."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tokenkeep.application.connect_sessions import TEMPORARY, VERIFIER_VERSION, BegunSession, SealedVerifier
from tokenkeep.application.create_account import TemporaryCredentials, VerifiedToken, VerifierExchange
from tokenkeep.application.invite_user import Invitation
from tokenkeep.application.ports import Vault
from tokenkeep.domain.connect_session import ConnectFailure, failure_of
from tokenkeep.domain.credential import StaticCredentials
from tokenkeep.domain.ids import SessionId
from tokenkeep.domain.secret import Secret

_DECLINED: Final = frozenset({"user_refused", "permission_denied"})
"""Codes of the Problem Reporting extension by which a user has said no."""


@dataclass(frozen=True, slots=True)
class LegsAnswer:
    """What a browser brought back from a provider of OAuth 1.0a (RFC 5849, section 2.2).

    How a refusal is told, the protocol leaves open: by `problem` (`oauth_problem`), by the token itself under the name
    `denied`, or as OAuth 2 does it.
    """

    token: Secret | None = None
    verifier: Secret | None = None
    problem: str | None = None
    denied: bool = False


@dataclass(frozen=True, slots=True)
class FinishLegs:
    """Exchanges the verifier for a token, if it came with the token that the session waits for."""

    exchange: VerifierExchange
    vault: Vault

    async def __call__(
        self, begun: BegunSession, invitation: Invitation, answer: LegsAnswer, *, error: str | None
    ) -> StaticCredentials | ConnectFailure:
        """The token credentials, or why there are none.

        Args:
            begun: The session, taken: it waits no more.
            invitation: Its source, and what is known of the account.
            answer: What the browser brought.
            error: An error in the terms of OAuth 2, which some providers use here too.

        Raises:
            CredentialsRejected: The provider refuses the verifier or the consumer.
            ProviderUnavailable: The provider can't be had.
            InvalidInput: Its address can't be filled in.
            NotFound: The source is gone.
        """
        if answer.denied or answer.problem in _DECLINED:
            return ConnectFailure.ACCESS_DENIED
        if answer.problem is not None or error is not None:
            return failure_of(error)
        if answer.token is None or answer.verifier is None or begun.verifier is None:
            return ConnectFailure.PROVIDER_ERROR
        temporary = opened(self.vault, begun.session.id, begun.verifier)
        if answer.token != temporary.token:
            return ConnectFailure.TOKEN_MISMATCH
        verified = VerifiedToken(temporary, answer.verifier)
        return await self.exchange(invitation.source.id, begun.session.environment, verified, invitation.properties)


def sealed(vault: Vault, session_id: SessionId, temporary: TemporaryCredentials) -> SealedVerifier:
    """Temporary credentials as they wait in their session's row."""
    key = vault.new_data_key(session_id)
    document = {"token": temporary.token.reveal(), "secret": temporary.secret.reveal()}
    plain = json.dumps(document).encode()
    return SealedVerifier(key, vault.seal(session_id, key, TEMPORARY, VERIFIER_VERSION, plain))


def opened(vault: Vault, session_id: SessionId, waiting: SealedVerifier) -> TemporaryCredentials:
    """Temporary credentials from their session's row. Raises `VaultError` when they do not open."""
    plain = vault.open(session_id, waiting.key, TEMPORARY, VERIFIER_VERSION, waiting.ciphertext)
    document: Mapping[str, str] = json.loads(plain)
    return TemporaryCredentials(Secret(document["token"]), Secret(document["secret"]))
