"""Bodies of the calls that authorise accounts on pages of the caller's own."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from tokenkeep.application.create_account import TemporaryCredentials, VerifiedToken
from tokenkeep_api.bodies import Body
from tokenkeep_api.callback_uris import callback_uri
from tokenkeep_api.fields import Labels, SecretText

CallbackUri = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        description="Where the provider sends the user back to: an absolute https URL, or an http one of loopback.",
    ),
    AfterValidator(callback_uri),
]
_MOST_FIELDS = 50


class OAuth2AuthorizeBody(Body):
    """Where the user is to come back, and with which `state`. `fields` are properties that the provider's addresses need."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"callback_uri": "https://app.example.com/callback", "state": "xxxxxx"}]}
    )

    callback_uri: CallbackUri
    state: SecretText
    fields: Labels = Field(default={})


class OAuth1AuthorizeBody(Body):
    """Where the user is to come back; a `state` stands in its query. `fields` are properties that the provider's addresses need."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"callback_uri": "https://app.example.com/callback?state=xxxxxx"}]}
    )

    callback_uri: CallbackUri
    fields: Labels = Field(default={})


class _FormFields(Body):
    """What the caller's form holds: what the call needs, and beside it properties of the account by their names."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, Annotated[str, Field(max_length=1024)]] = Field(init=False)
    callback_uri: CallbackUri

    @property
    def properties(self) -> Mapping[str, str]:
        """The account's properties."""
        return self.__pydantic_extra__ or {}


class OAuth2Fields(_FormFields):
    """`callback_uri` is the one that the user was sent with. A `state` may come along. Anything else is a property of the account."""

    state: SecretText | None = None


class OAuth2AccessTokenBody(Body):
    """What the provider sent the user back with. A `state` may come along; it is the caller's to check, and not needed here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"fields": {"callback_uri": "https://app.example.com/callback"}, "code": "xxxxx"}]
        }
    )

    fields: OAuth2Fields
    code: SecretText
    state: SecretText | None = None


class OAuth1Fields(_FormFields):
    """`access_token` and `access_secret` are the `token` and `secret` of `/oauth1/v1/authorize`. Anything else is a property of the account."""

    access_token: SecretText
    access_secret: SecretText


class OAuth1AccessTokenBody(Body):
    """What the provider sent the user back with, and the temporary credentials that they were sent with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "fields": {
                        "access_token": "xxxx",
                        "access_secret": "xxxxx",
                        "callback_uri": "https://app.example.com/callback?state=xxxxx",
                    },
                    "oauth_verifier": "xxxxx",
                }
            ]
        }
    )

    fields: OAuth1Fields
    oauth_verifier: SecretText

    def verified(self) -> VerifiedToken:
        """The temporary credentials, authorised."""
        return VerifiedToken(
            TemporaryCredentials(self.fields.access_token, self.fields.access_secret), self.oauth_verifier
        )
