"""The calls that the audit trail tells of."""

ACTIONS = {
    ("POST", "/v1/sources"): "source.create",
    ("PATCH", "/v1/sources/{source_id}"): "source.update",
    ("POST", "/v1/sources/{source_id}/pause"): "source.pause",
    ("POST", "/v1/sources/{source_id}/resume"): "source.resume",
    ("POST", "/v1/accounts"): "account.create",
    ("POST", "/v1/accounts/import"): "account.import",
    ("PATCH", "/v1/accounts/{account_id}"): "account.update",
    ("POST", "/v1/accounts/{account_id}/sign"): "request.sign",
    ("DELETE", "/v1/accounts/{account_id}"): "account.delete",
    ("PUT", "/v1/accounts/{account_id}/credentials"): "account.reauthorize",
    ("POST", "/v1/accounts/{account_id}/verify"): "account.verify",
    ("POST", "/v1/accounts/{account_id}/refresh"): "account.refresh",
    ("POST", "/v1/accounts/{account_id}/enable"): "account.enable",
    ("POST", "/v1/accounts/{account_id}/disable"): "account.disable",
    ("POST", "/v1/accounts/{account_id}/release"): "account.release",
    ("POST", "/v1/accounts/{account_id}/release/confirm"): "account.release_confirm",
    ("POST", "/v1/connect/sessions"): "connect.session_create",
    ("GET", "/v1/connect/sessions/{session_id}"): "connect.result_redeem",
    ("POST", "/v1/api-keys"): "api_key.create",
    ("DELETE", "/v1/api-keys/{key_id}"): "api_key.delete",
    ("POST", "/v1/accounts/{account_id}/token"): "token.vend",
    ("GET", "/v1/accounts/{account_id}"): "credentials.read",
}
"""What each call is named in the audit trail. A test holds this to the API's description."""
