"""Codes that nobody has listed."""

import pytest

from tokenkeep.providers.code_words import of_code_words
from tokenkeep.providers.meaning import Meaning


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("refresh_token_superseded_reused", Meaning.REVOKED),
        ("errors_user_refresh_token_invalid", Meaning.REVOKED),
        ("authorization_record_expired", Meaning.REVOKED),
        ("consent_invalid", Meaning.REVOKED),
        ("sso_required", Meaning.REVOKED),
        ("user_deactivated", Meaning.REVOKED),
        ("workspace_deleted", Meaning.REVOKED),
        ("app_uninstalled", Meaning.REVOKED),
        ("session_not_found", Meaning.REVOKED),
        ("session_expired", None),
        ("access_token_expired", None),
        ("user_suspended", None),
        ("authentication_required", None),
        ("developer_inactive", Meaning.CLIENT_MISCONFIGURED),
        ("client_secret_expired", Meaning.CLIENT_MISCONFIGURED),
        ("api_key_invalid", Meaning.CLIENT_MISCONFIGURED),
        ("insecure_transport", Meaning.CLIENT_MISCONFIGURED),
        ("invalid_dpop_proof", Meaning.CLIENT_MISCONFIGURED),
        ("grant_type_not_allowed", Meaning.CLIENT_MISCONFIGURED),
        ("invalid_parameter_value", Meaning.INVALID_REQUEST),
        ("missing_refresh_param", Meaning.INVALID_REQUEST),
        ("bad_request", None),
        ("api_call_limit", Meaning.RATE_LIMITED),
        ("policies_ratelimit_spike_arrest_violation", Meaning.RATE_LIMITED),
        ("developer_over_qps", Meaning.RATE_LIMITED),
        ("simultaneous_logins", Meaning.TRANSIENT),
        ("backend_timeout", Meaning.TRANSIENT),
        ("something_else", None),
        ("o_auth_token_expired_refresh_your_token_or_acquire_a_new_one", None),
    ],
)
def test_the_words_of_a_code_say_what_it_means(code: str, meaning: Meaning | None) -> None:
    assert of_code_words(code) is meaning
