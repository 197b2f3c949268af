"""What answers to those who authorise users on pages of their own look like, for the API's description."""

from datetime import datetime

from tokenkeep_api.answers import Answer


class RedirectAnswer(Answer):
    """Where the user is to be sent."""

    redirect_uri: str


class OAuth1RedirectAnswer(RedirectAnswer):
    """Where the user is to be sent, with the temporary credentials that the verifier will belong to."""

    token: str
    secret: str


class OAuth2TokenAnswer(Answer):
    """An access token, and the account that keeps it fresh. The refresh token stays in custody."""

    access_token: str
    expires_on: datetime | None
    account_id: str


class OAuth1TokenAnswer(OAuth2TokenAnswer):
    """A token of OAuth 1.0a with its secret, and the account that has them. `POST /v1/accounts/{account_id}/sign` signs with them."""

    access_secret: str
