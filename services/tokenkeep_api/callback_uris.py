"""Where callers have their users sent back to."""

from tokenkeep.adapters.token_endpoint.origin import MalformedUrl, split_url


def callback_uri(url: str) -> str:
    """The URL as it was given, character for character, for providers compare it so.

    Nobody but a browser goes there. http is for the caller's own machine (RFC 8252, section 7.3).

    Raises:
        ValueError: It is not absolute, not https, or has userinfo or a fragment.
    """
    try:
        origin, _ = split_url(url)
    except MalformedUrl as fault:
        msg = f"should be an absolute https URL: {fault}"
        raise ValueError(msg) from None
    address = origin.address
    loopback = origin.host == "localhost" if address is None else address.is_loopback
    if origin.scheme != "https" and not loopback:
        msg = "should be an https URL; http is for loopback only"
        raise ValueError(msg)
    return url
