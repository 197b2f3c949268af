"""Connect links: durable addresses at which an end user authorises one account again.

Nothing is stored for a link. Its key is a MAC over the account, the epoch of its grant and the moment at which the link
ends: it can't be made up, fits no other account, and dies when the account is authorised again.
"""

import hmac
import re
import struct
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from tokenkeep.domain.account import Account, AccountState, DisabledReason
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.ids import AccountId, IdKind, SessionId, format_id
from tokenkeep.domain.secret import Secret

LINK_LIFE: Final = timedelta(days=30)

_LINK: Final = b"tokenkeep.connect-link.1"
_SESSION: Final = b"tokenkeep.connect-session.1"
_NUMBERS: Final = struct.Struct(">QQ")
_KEY: Final = re.compile(r"([0-9]{1,12})\.[A-Za-z0-9_-]{43}")
_TELLING: Final = frozenset({EventType.FAILING, EventType.EXPIRING})


@dataclass(frozen=True, slots=True)
class LinkMaker:
    """Makes and checks links. `secret` is 32 random bytes in hexadecimal, the same for every process of an installation."""

    public_url: str
    secret: Secret

    def url(self, account_id: AccountId, *, epoch: int, now: datetime) -> str:
        """The link for this grant of the account, good for 30 days."""
        key = self._key(account_id, epoch, int((now + LINK_LIFE).timestamp()))
        return f"{self.public_url}/connect/accounts/{format_id(IdKind.ACCOUNT, account_id)}?key={key}"

    def opens(self, account_id: AccountId, key: str, *, epoch: int, now: datetime) -> bool:
        """Whether a key that somebody came with is a link's to this grant of the account, and not too old."""
        found = _KEY.fullmatch(key)
        if found is None:
            return False
        until = int(found[1])
        # The whole text is compared, so that a key has one spelling.
        return hmac.compare_digest(key, self._key(account_id, epoch, until)) and now.timestamp() < until

    def session_token(self, session_id: SessionId) -> Secret:
        """The token of a session that a link has opened: the link gives the same one again as long as that is open."""
        return Secret(_text(self._mac(_SESSION + session_id.bytes)))

    def _key(self, account_id: AccountId, epoch: int, until: int) -> str:
        mac = self._mac(_LINK + account_id.bytes + _NUMBERS.pack(epoch, until))
        return f"{until}.{_text(mac)}"

    def _mac(self, message: bytes) -> bytes:
        return hmac.digest(bytes.fromhex(self.secret.reveal()), message, sha256)


def may_reconnect(account: Account) -> bool:
    """Whether the end user alone may bring a new grant to the account. What an operator has disabled, they can't enable."""
    if account.disabled is None:
        return True
    reason = account.disabled.reason
    return reason.needs_reauthorization or reason is DisabledReason.RELEASED


def calls_for_link(happening: Happening, account: Account) -> bool:
    """Whether the event that tells a happening shows the end user's way back. `account` is as it stands after it."""
    if happening.type is EventType.DISABLED:
        return account.disabled is not None and account.disabled.reason.needs_reauthorization
    return happening.type in _TELLING and account.state is AccountState.ACTIVE


def _text(mac: bytes) -> str:
    return urlsafe_b64encode(mac).rstrip(b"=").decode()
