"""Redeem: the caller's backend checks what a browser brought it from a connect session."""

from dataclasses import dataclass
from datetime import datetime

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.connect_sessions import hashed
from tokenkeep.application.work import Work
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import ResultRedeemed
from tokenkeep.domain.connect_session import ConnectSession
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.ids import IdKind, SessionId, format_id
from tokenkeep.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class ShownSession:
    """A session as it stands at a moment. `result_verified`: the caller came with its result, as the first to do so."""

    session: ConnectSession
    result_verified: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class RedeemResult:
    """Shows a session; if a result is given, it is checked and used up."""

    async def __call__(self, work: Work, caller: Caller, session_id: SessionId, result: Secret | None) -> ShownSession:
        """The session.

        Raises:
            NotFound: There is no such session in this environment.
            InvalidInput: The result is not this session's.
            ResultRedeemed: It was redeemed before.
        """
        session = await work.connect_sessions.get(session_id, caller.environment)
        if session is None:
            raise NotFound("connect session")
        if result is not None:
            redemption = await work.connect_sessions.redemption(session_id, hashed(result))
            if not redemption.fits:
                raise InvalidInput("result", "is not the result of this session")
            if redemption.redeemed:
                raise ResultRedeemed
            await work.connect_sessions.redeem(session_id)
            await work.audit(AuditEntry(caller, "connect.result_redeem", format_id(IdKind.SESSION, session_id)))
        return ShownSession(session, result is not None, await work.accounts.now())
