"""What a machine proves itself with where no user takes part: an account's own application, service account or subject."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from tokenkeep.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class MachineCredentials:
    """What an account brings of its own; what is None, its source has, or nobody needs.

    `client_id` and `client_secret` are a client of the account's own, for the token endpoint. The others are for assertions
    (RFC 7523, section 3): who issues them, about whom, for whom, for which scope, and the key that signs them.
    """

    client_id: str | None = None
    client_secret: Secret | None = None
    issuer: str | None = None
    subject: str | None = None
    audience: str | None = None
    scope: str | None = None
    key_id: str | None = None
    private_key: Secret | None = None

    @property
    def are_its_own(self) -> bool:
        """Whether the account proves itself with something of its own, so that a refusal is no sure word about its source."""
        return any(it is not None for it in (self.client_id, self.issuer, self.private_key))

    def secrets(self) -> Iterator[Secret]:
        """What must not be seen."""
        return (it for it in (self.client_secret, self.private_key) if it is not None)

    def document(self) -> Secret:
        """All of it in one text, to be sealed as a refresh token is."""
        given = {member.name: getattr(self, member.name) for member in fields(self)}
        shown = {name: it.reveal() if isinstance(it, Secret) else it for name, it in given.items() if it is not None}
        return Secret(json.dumps(shown))

    @classmethod
    def of(cls, document: Secret) -> Self:
        """The credentials that `document` wrote down."""
        return cls.of_texts(json.loads(document.reveal()))

    @classmethod
    def of_texts(cls, given: Mapping[str, str]) -> Self:
        """The credentials that are given as texts, by the names of the members."""
        members: dict[str, Any] = {name: Secret(text) if name in SECRETS else text for name, text in given.items()}
        return cls(**members)


SECRETS = frozenset({"client_secret", "private_key"})
