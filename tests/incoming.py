"""Events as services send them."""

from hashlib import sha256
from typing import Any
from uuid import uuid4


def fingerprint_of(token: str) -> str:
    return sha256(token.encode()).hexdigest()[:16]


def an_incoming(kind: str, account_id: str, **changes: Any) -> dict[str, Any]:
    """A CloudEvent of the type `tokenkeep.account.<kind>`; a change that is None leaves its attribute out."""
    document = {
        "specversion": "1.0",
        "id": uuid4().hex,
        "source": "/billing",
        "type": f"tokenkeep.account.{kind}",
        "subject": account_id,
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


def a_report(account_id: str, token: str, **changes: Any) -> dict[str, Any]:
    """A report that the provider answered 401 to this token."""
    return an_incoming("unauthorized", account_id, **{"data": {"token_fingerprint": fingerprint_of(token)}, **changes})
