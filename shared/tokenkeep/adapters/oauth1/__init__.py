"""Signatures of OAuth 1.0a (RFC 5849), by Authlib."""
