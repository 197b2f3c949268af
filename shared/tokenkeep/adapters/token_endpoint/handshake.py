"""Refusals of a TLS handshake that come after the client has begun to write.

In TLS 1.3 the client's part of the handshake is over, and it may write, a whole journey before the server has looked at its
certificate (RFC 8446, section 4.4). A server that then refuses it has read nothing of what was written after: the
keys for that come with the end of the handshake.
"""

import ssl
from typing import Final

_ALERTS: Final = frozenset({
    "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN", "SSLV3_ALERT_HANDSHAKE_FAILURE", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_ACCESS_DENIED", "TLSV1_ALERT_DECRYPT_ERROR", "TLSV1_ALERT_UNKNOWN_CA",
})  # fmt: skip
"""What a server says that refuses a client's certificate, or its lack of one (RFC 8446, section 6.2), in OpenSSL's names."""


def is_refusal(fault: BaseException | None) -> bool:
    """Whether a connection that ended like this was refused by its server, provided that the server had said nothing before."""
    return isinstance(fault, ssl.SSLError) and fault.reason in _ALERTS
