"""Where browsers are sent once an account is connected: checked when the session is made, extended when it is used."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy
from tokenkeep.adapters.token_endpoint.origin import MalformedUrl, split_url
from tokenkeep.domain.errors import InvalidInput

_FIELD = "return_url"


def check_return_url(url: str, policy: AddressPolicy) -> None:
    """Refuse what is not https, unless the operator has allowed its host (TOKENKEEP_ALLOW_PRIVATE_HOSTS).

    Nothing but a browser ever goes there, so it need not be a public address.

    Raises:
        InvalidInput: It is something else.
    """
    try:
        origin, _ = split_url(url)
    except MalformedUrl as fault:
        raise InvalidInput(_FIELD, str(fault)) from None
    if origin.scheme != "https" and not policy.allows_host(origin.host):
        raise InvalidInput(_FIELD, "the scheme must be https")


def with_answer(url: str, answer: Mapping[str, str]) -> str:
    """The address with an answer in its query. Of a parameter that is there already, ours is the one that counts."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in answer]
    return urlunsplit(parts._replace(query=urlencode([*kept, *answer.items()])))
