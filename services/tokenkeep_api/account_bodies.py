"""Bodies about accounts, and about requests that are to be signed for them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from tokenkeep.application.create_account import NewAccount
from tokenkeep.application.update_account import AccountChange
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.source import Source
from tokenkeep.providers.account_properties import check_account_properties
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.oauth1 import RequestToSign, request_to_sign
from tokenkeep_api.bodies import Body
from tokenkeep_api.credential_bodies import CredentialMembers, read_credentials
from tokenkeep_api.fields import ExternalId, Labels, LabelsToChange

_MOST_PARAMETERS = 1_000
_Text = Annotated[str, StringConstraints(max_length=65_536)]


class AccountBody(Body):
    """An account to be created. Without credentials, or without a property that it needs, it is `pending`."""

    source_id: str
    credentials: CredentialMembers | None = None
    external_id: ExternalId | None = None
    metadata: Labels = Field(default={})
    properties: Labels = Field(default={})

    def wanted(self, provider: Provider, source: Source) -> NewAccount:
        """The account that is described, at the source that `source_id` names. Raises `InvalidInput`."""
        check_account_properties(provider, self.properties)
        return NewAccount(
            source_id=source.id,
            credentials=None if self.credentials is None else read_credentials(provider, source, self.credentials),
            external_id=self.external_id,
            metadata=self.metadata,
            properties=self.properties,
        )


class AccountChangeBody(Body):
    """What of an account is to be changed. Names that are given are set, null takes one away, others stay as they are."""

    metadata: LabelsToChange | None = None
    properties: LabelsToChange | None = None

    @model_validator(mode="after")
    def _something_given(self) -> Self:
        if not self.model_fields_set:
            raise InvalidInput("body", "names nothing that is to be changed")
        for field in sorted(self.model_fields_set):
            if getattr(self, field) is None:
                raise InvalidInput(field, "can't be null")
        return self

    def wanted(self) -> AccountChange:
        """The change that is described."""
        return AccountChange(self.metadata or {}, self.properties or {})


class SignBody(Body):
    """A request that is to be signed. `body` holds the parameters of a form, if that is what its body is; other bodies are left out."""

    method: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{1,20}$")]
    url: Annotated[str, StringConstraints(min_length=1, max_length=16_384)]
    body: (
        Annotated[Mapping[str, _Text | Sequence[_Text]], Field(max_length=_MOST_PARAMETERS)]
        | Annotated[str, StringConstraints(max_length=1_048_576)]
        | None
    ) = None
    realm: Annotated[str | None, StringConstraints(pattern=r"^[\x20\x21\x23-\x5b\x5d-\x7e]{1,200}$")] = None

    def wanted(self) -> RequestToSign:
        """The request that is described. Raises `InvalidInput` for an address that can't be."""
        return request_to_sign(self.method, self.url, self.body, self.realm)
