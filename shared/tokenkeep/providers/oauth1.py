"""What a signature of OAuth 1.0a is made of (RFC 5849), before it is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.entry import Provider

RSA_SHA1: Final = "RSA-SHA1"
_USUAL: Final = "HMAC-SHA1"
_MOST_PARAMETERS: Final = 1_000

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RequestToSign:
    """A request as its maker describes it. `parameters` are those of its query and, where that is one, of its form."""

    method: str
    url: str
    parameters: Parameters
    realm: str | None


@dataclass(frozen=True, slots=True)
class SignatureOrder:
    """A request, and by whom and how it is to be signed. With RSA-SHA1 the consumer's secret is a private key.

    `token` None: there is none yet, and its secret is empty. `further` parameters of the protocol go into the header and are
    signed with it: `oauth_callback`, `oauth_verifier`.
    """

    request: RequestToSign
    signature_method: str
    consumer_key: str
    consumer_secret: Secret
    token: Secret | None
    token_secret: Secret
    further: Mapping[str, Secret] = field(default_factory=dict)


def signature_method(provider: Provider, options: Mapping[str, Any]) -> str:
    """How a source's requests are signed."""
    return str(options.get("signature_method") or provider.signature_method or _USUAL)


def request_to_sign(
    method: str, url: str, form: str | Mapping[str, str | Sequence[str]] | None, realm: str | None
) -> RequestToSign:
    """The request, its parameters read (RFC 5849, section 3.4.1.3.1).

    Args:
        method: The request's method.
        url: All of its address, as it will be sent.
        form: The parameters of a form that is its body, by name or as the body will be sent; of other bodies nothing is signed.
        realm: What goes into the header as `realm`, unsigned.

    Raises:
        InvalidInput: The address is none that a request could be sent to, or can't be read; the field names what is wrong.
    """
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise InvalidInput("url", "this is not a URL") from None
    if parts.scheme not in {"http", "https"} or not has_host:
        raise InvalidInput("url", "expected an absolute URL such as https://api.example.com/items?page=2")
    if parts.username is not None or parts.fragment:
        raise InvalidInput("url", "a URL here has no user name and no fragment")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput("url", "expected it percent-encoded, as it will be sent")
    body = [] if form is None else _form(form)
    if not all(_is_unicode(text) for pair in body for text in pair):
        raise InvalidInput("body", "expected texts that UTF-8 can say")
    parameters = [*_decoded("url", parts.query), *body]
    for name, _ in parameters:
        if name.startswith("oauth_"):
            raise InvalidInput("url", "parameters of the protocol's own go into the header alone")
    return RequestToSign(method.upper(), url, parameters, realm)


def _form(form: str | Mapping[str, str | Sequence[str]]) -> Parameters:
    if isinstance(form, str):
        return _decoded("body", form)
    return [(name, text) for name, value in form.items() for text in ([value] if isinstance(value, str) else value)]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoded(field: str, encoded: str) -> Parameters:
    try:
        return parse_qsl(encoded, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise InvalidInput(field, "expected parameters as forms have them, UTF-8 and percent-encoded") from None
