"""Security event tokens (RFC 8417), read with joserfc."""
