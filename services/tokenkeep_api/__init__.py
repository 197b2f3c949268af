"""The API: the ingress for everything that comes over HTTP. It hands out tokens and never spends a refresh token."""
