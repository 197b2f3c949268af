"""What the answer of a revocation endpoint means (RFC 7009, section 2.2)."""

from enum import StrEnum

from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.answer_body import read_body

_ABOUT_THE_CLIENT = frozenset({"invalid_client", "unauthorized_client", "access_denied"})
_BAD_REQUEST = 400


class RevocationResult(StrEnum):
    """`refused`: the provider will not do it however often it is asked. `later`: it may, another time."""

    REVOKED = "revoked"
    REFUSED = "refused"
    LATER = "later"


def read_revocation(answer: Answer | NoAnswer) -> RevocationResult:
    """The result. A provider says 200 for a token that it does not know, too.

    A refusal of the client says nothing about the token, and someone may mend the client. A 503 means that the token must be
    taken to be alive. Only a 400 that names an error about the token or the request ends the matter.
    """
    if isinstance(answer, NoAnswer):
        return RevocationResult.LATER
    if 200 <= answer.status < 300:  # noqa: PLR2004 - RFC 9110, section 15.3
        return RevocationResult.REVOKED
    error = read_body(answer.body).fields.get("error")
    if answer.status == _BAD_REQUEST and isinstance(error, str) and error not in _ABOUT_THE_CLIENT:
        return RevocationResult.REFUSED
    return RevocationResult.LATER
