"""Ids of providers' accounts. A provider has many ids for one person, and only those of one kind can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

UNRECORDED: Final = "unrecorded"
"""What is kept as the kind of an id that was told before kinds were kept, once it is not verified any more."""


@dataclass(frozen=True, slots=True)
class ExternalId:
    """An id of an account at its provider.

    `kind` says where it was read, and so which of the provider's ids it is (a user's, a tenant's, an address of mail). None:
    nobody knows, for a caller gave it, or it was told before kinds were kept.
    """

    value: str
    kind: str | None = None


class Likeness(Enum):
    """Whether what a provider tells of some credentials is what is known of an account."""

    SAME = auto()
    ANOTHER = auto()
    UNTOLD = auto()
    """It tells nothing, or ids of other kinds, which say neither."""


def likeness(known: ExternalId, told: Sequence[ExternalId]) -> Likeness:
    """How the id that is known and those that are told go together. What is of no known kind is compared with what counts first."""
    alike = told[:1] if known.kind is None else [it for it in told if it.kind == known.kind]
    if not alike:
        return Likeness.UNTOLD
    return Likeness.SAME if any(it.value == known.value for it in alike) else Likeness.ANOTHER
