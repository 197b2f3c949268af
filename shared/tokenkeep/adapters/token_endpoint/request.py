"""A request as bytes. All of them are made before the moment that counts."""

import re
from functools import lru_cache

from tokenkeep.adapters.token_endpoint.origin import MalformedUrl, Origin, split_url
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest

_METHOD = re.compile(r"[A-Z]{1,16}")
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")  # a token (RFC 9110, section 5.6.2), lower-case
_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]+")  # RFC 3986, section 3.4
_VALUE = re.compile(r"[\t\x20-\x7e]*")  # no CR, LF or NUL, so no value can end its line
# These say how a message is framed or kept, which is for the connection alone to know (RFC 9112, section 6).
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"})
# Their answers have no body, whatever their headers promise; a token endpoint has no use for them.
_BODILESS = frozenset({"HEAD", "CONNECT"})
_WITHOUT_CONTENT = frozenset({"GET", "DELETE"})

_split = lru_cache(maxsize=1024)(split_url)


class UnsendableRequest(ValueError):
    """A request that can't be put into HTTP/1.1 as it stands. The message quotes no value."""


def serialise(request: TokenRequest) -> tuple[Origin, bytes]:
    """Where a request goes, and the bytes of its head and body.

    `host`, `content-length` and `accept-encoding: identity` are added. Nothing in a path, a query or a header can break out of
    its line.

    Raises:
        UnsendableRequest: A method, URL, path, query, header name or header value that HTTP/1.1 does not allow here.
    """
    try:
        origin, target = _split(request.url)
    except MalformedUrl as fault:
        msg = f"the URL: {fault}"
        raise UnsendableRequest(msg) from None
    if not _METHOD.fullmatch(request.method) or request.method in _BODILESS:
        msg = "the method is not allowed"
        raise UnsendableRequest(msg)
    if request.tail is not None:
        target = _with_tail(target, request.tail)
    if request.query is not None:
        target = _with_query(target, request.query)
    body = request.body.reveal().encode()
    lines = [f"{request.method} {target} HTTP/1.1\r\nhost: {origin.authority}\r\naccept-encoding: identity\r\n"]
    for name, value in request.headers.items():
        if not _NAME.fullmatch(name) or name in _OURS:
            msg = "a header has a name that is malformed or not the caller's to set"
            raise UnsendableRequest(msg)
        if not _VALUE.fullmatch(value):
            msg = f"the header {name} has a character that a header can't have"
            raise UnsendableRequest(msg)
        if name != "accept-encoding":
            lines.append(f"{name}: {value}\r\n")
    if body or request.method not in _WITHOUT_CONTENT:
        lines.append(f"content-length: {len(body)}\r\n")
    lines.append("\r\n")
    return origin, "".join(lines).encode("ascii") + body


def _with_tail(target: str, tail: Secret) -> str:
    """The target with the secret end of its path, which like the query is no part of the address that others see."""
    added = tail.reveal()
    if "?" in target or not _QUERY.fullmatch(added):
        msg = "the path has characters that a path can't have"
        raise UnsendableRequest(msg)
    return target + added


def _with_query(target: str, query: Secret) -> str:
    """The target with the secret part of its query. It is added here, so that no cache or message sees it as an address."""
    added = query.reveal()
    if not _QUERY.fullmatch(added):
        msg = "the query has characters that a query can't have"
        raise UnsendableRequest(msg)
    return f"{target}{'&' if '?' in target else '?'}{added}"
