"""What an answer says, before it is put in the words of a verdict."""

from dataclasses import dataclass
from enum import StrEnum


class Meaning(StrEnum):
    """The seven things that a token endpoint's answer can say."""

    OK = "ok"
    REVOKED = "revoked"
    CLIENT_MISCONFIGURED = "client_misconfigured"
    INVALID_REQUEST = "invalid_request"
    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Reading:
    """A meaning with the words that stand for it. Both are free of secrets: `error_codes.safe_code` made them."""

    meaning: Meaning
    code: str | None = None
    subtype: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """One provider's own use of a code or a sentence, from its data file. What is None matches everything.

    `code` is compared in the form that `error_codes.normal` gives, `text` is searched in `Body.text`.
    """

    means: Meaning
    code: str | None = None
    text: str | None = None
    status: int | None = None

    def matches(self, status: int, codes: tuple[str, ...], text: str) -> bool:
        """Whether an answer is of the kind that the rule speaks of."""
        return (
            (self.status is None or self.status == status)
            and (self.code is None or self.code in codes)
            and (self.text is None or self.text in text)
        )
