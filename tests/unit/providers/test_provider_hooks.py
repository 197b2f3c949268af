"""Signatures and notices of providers' hooks, by what the catalogue says of them and what providers document."""

import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provider_samples import (
    ALL,
    CLIENT_SECRET,
    ENDING,
    GITHUB_USER,
    HUBSPOT,
    SECRET,
    SHOPIFY,
    SLACK_APP,
    SLACK_TOKENS,
    STRIPE,
    URL,
    XERO,
    XERO_INTENT,
    Sample,
    by_slack,
    by_zoom,
)
from tokenkeep.domain.errors import CatalogueError
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.entry_file import read_entry
from tokenkeep.providers.hook_challenges import challenge_answer
from tokenkeep.providers.hook_kinds import hook_kinds
from tokenkeep.providers.hook_notices import (
    Illegible,
    NamedAccount,
    NamedProperty,
    Notice,
    happened_at,
    parse_body,
    read_notices,
)
from tokenkeep.providers.hook_rules import HookMeaning, ProviderHooks
from tokenkeep.providers.hook_signatures import HookRequest, signing_secret
from tokenkeep.providers.security_events import read_security_events

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
CATALOGUE = load_catalogue()


def hooks_of(slug: str) -> ProviderHooks:
    hooks = CATALOGUE.get(slug).hooks
    assert hooks is not None
    return hooks


def a_request(sample: Sample, at: datetime = NOW, **changes: Any) -> HookRequest:
    body, headers = sample.request(at)
    return replace(HookRequest("POST", URL, headers, body), **changes)


def is_proven(slug: str, request: HookRequest, secret: str, now: datetime = NOW) -> bool:
    signature = hooks_of(slug).signature
    assert signature is not None
    return signing_secret(signature, request, [Secret("another"), Secret(secret)], now=now) is not None


def notices(sample: Sample, request: HookRequest | None = None) -> list[Notice | Illegible]:
    given = request or a_request(sample)
    return list(read_notices(hooks_of(sample.slug), given, parse_body(given.body)))


@pytest.mark.parametrize("sample", ALL, ids=lambda it: it.slug)
def test_a_notice_is_proven_by_the_secret_that_it_is_signed_with_and_by_no_other(sample: Sample) -> None:
    request = a_request(sample)
    assert is_proven(sample.slug, request, sample.secret)
    assert not is_proven(sample.slug, request, f"{sample.secret}!")
    assert not is_proven(sample.slug, replace(request, body=request.body + b" "), sample.secret)
    assert not is_proven(sample.slug, replace(request, headers={}), sample.secret)


@pytest.mark.parametrize("sample", ALL, ids=lambda it: it.slug)
def test_without_a_secret_nothing_is_proven(sample: Sample) -> None:
    signature = hooks_of(sample.slug).signature
    assert signature is not None
    body, headers = sample.request(NOW, secret="nobody's")
    assert signing_secret(signature, HookRequest("POST", URL, headers, body), [], now=NOW) is None


@pytest.mark.parametrize("slug", ["slack", "zoom", "stripe-connect", "hubspot"])
@pytest.mark.parametrize("off", [timedelta(seconds=301), timedelta(seconds=-301)])
def test_what_was_signed_too_long_ago_or_ahead_of_its_time_is_not_proven(slug: str, off: timedelta) -> None:
    sample = next(one for one in ALL if one.slug == slug)
    assert is_proven(slug, a_request(sample, NOW - off / 2), sample.secret)
    assert not is_proven(slug, a_request(sample, NOW - off), sample.secret)


@pytest.mark.parametrize("stamp", ["", "-1", "1e9", "٣", "9" * 40, "now"])
def test_a_timestamp_that_is_none_proves_nothing(stamp: str) -> None:
    body, headers = SLACK_APP.request(NOW)
    request = HookRequest("POST", URL, {**headers, "x-slack-request-timestamp": stamp}, body)
    assert not is_proven("slack", request, SECRET)


def test_a_signature_over_another_address_is_none_where_the_address_is_signed() -> None:
    assert not is_proven("hubspot", a_request(HUBSPOT, url="https://elsewhere.example/"), CLIENT_SECRET)
    assert not is_proven("hubspot", a_request(HUBSPOT, method="PUT"), CLIENT_SECRET)


@pytest.mark.parametrize(
    "value", ["", "sha256=", "sha256=zz", "sha256=" + "0" * 62, "sha1=" + "0" * 64, "é", "," * 5000]
)
def test_a_malformed_signature_proves_nothing_and_raises_nothing(value: str) -> None:
    request = a_request(GITHUB_USER)
    assert not is_proven("github", replace(request, headers={"x-hub-signature-256": value}), SECRET)


@pytest.mark.parametrize("sample", ENDING, ids=lambda it: it.slug)
def test_the_documented_notices_name_whom_they_mean(sample: Sample) -> None:
    ending = [one for one in notices(sample) if isinstance(one, Notice) and one.means is HookMeaning.UNINSTALLED]
    [notice] = ending
    for external_id in sample.meant:
        assert any(
            external_id.startswith(f"{one.value}:") if one.and_below else one.value == external_id
            for one in notice.accounts
        )


@pytest.mark.parametrize(
    ("told", "held"),
    [
        ("super-toys.myshopify.com", NamedProperty("subdomain", "super-toys")),
        (".myshopify.com", None),
        ("super-toys.example", None),
        (None, None),
    ],
)
def test_a_shop_is_named_by_its_host_too(told: str | None, held: NamedProperty | None) -> None:
    [notice] = notices(replace(SHOPIFY, document={**SHOPIFY.document, "myshopify_domain": told}))
    assert isinstance(notice, Notice)
    assert notice.property == held


def test_a_workspace_stands_for_all_of_its_users_and_a_user_for_himself() -> None:
    [whole], [single] = notices(SLACK_APP), notices(SLACK_TOKENS)
    assert isinstance(whole, Notice)
    assert isinstance(single, Notice)
    assert whole.accounts == (NamedAccount("TXXXXXXXX", and_below=True),)
    assert single.accounts == (NamedAccount("TXXXXXXXX:UXXXXXXXX"),)


def test_a_notice_that_can_not_be_read_stops_no_other() -> None:
    creation, broken, uninstalled = notices(HUBSPOT)
    assert isinstance(creation, Notice)
    assert creation.means is HookMeaning.NOTHING
    assert broken is Illegible.ILLEGIBLE
    assert isinstance(uninstalled, Notice)
    assert uninstalled.happened_at == NOW


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"null", b'{"type": "event_callback"}', b"[" * 100_000, b'"\\ud800"', b"\xff"]
)
def test_a_proven_body_that_is_no_notice_ends_nothing(body: bytes) -> None:
    for sample in ALL:
        for one in notices(sample, a_request(sample, body=body)):
            assert one is Illegible.ILLEGIBLE or one.means is HookMeaning.NOTHING


def test_a_body_is_read_up_to_a_bound_and_what_is_beyond_it_is_seen() -> None:
    creation = HUBSPOT.document[0]
    found = list(read_notices(hooks_of("hubspot"), a_request(HUBSPOT), [creation] * 1_500))
    assert (len(found), found[-1]) == (1_001, Illegible.ILLEGIBLE)


def test_an_ending_that_names_nobody_is_illegible() -> None:
    request = a_request(STRIPE, body=b'{"type": "account.application.deauthorized", "account": {"id": 1}}')
    assert notices(STRIPE, request) == [Illegible.ILLEGIBLE]


def test_xeros_intent_to_receive_brings_nothing_and_its_changes_mean_nothing() -> None:
    assert list(read_notices(hooks_of("xero"), a_request(XERO), XERO_INTENT)) == []
    [change] = notices(XERO)
    assert isinstance(change, Notice)
    assert (change.type, change.means) == ("CONTACT:UPDATE", HookMeaning.NOTHING)
    assert change.happened_at == datetime(2024, 6, 21, 1, 15, 39, 902_000, tzinfo=UTC)


def test_the_compliance_topics_of_shopify_end_nothing() -> None:
    for topic in ("customers/data_request", "customers/redact", "shop/redact"):
        request = a_request(SHOPIFY)
        [notice] = notices(SHOPIFY, replace(request, headers={**request.headers, "x-shopify-topic": topic}))
        assert isinstance(notice, Notice)
        assert notice.means is HookMeaning.NOTHING


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1234567890", datetime(2009, 2, 13, 23, 31, 30, 999_999, tzinfo=UTC)),
        ("1564113600000", datetime(2019, 7, 26, 4, tzinfo=UTC)),
        ("2025-09-10T21:31:25.179851517Z", datetime(2025, 9, 10, 21, 31, 25, 179_851, tzinfo=UTC)),
        ("2030-01-31T13:00:00+01:00", NOW + timedelta(microseconds=999_999)),
        ("9" * 30, None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_are_read_as_providers_write_them(text: str, read: datetime | None) -> None:
    assert happened_at(text) == read


def test_a_question_is_answered_in_the_providers_words() -> None:
    # https://docs.slack.dev/reference/events/url_verification and https://developers.zoom.us/docs/api/webhooks/
    slack = {
        "token": "x",
        "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
        "type": "url_verification",
    }
    request = HookRequest("POST", URL, {}, b"")
    assert challenge_answer(hooks_of("slack"), request, slack, Secret(SECRET)) == {"challenge": slack["challenge"]}
    zoom = {
        "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"},
        "event_ts": 1654503849680,
        "event": "endpoint.url_validation",
    }
    answer = challenge_answer(hooks_of("zoom"), request, zoom, Secret("secret"))
    assert answer == {
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
        "encryptedToken": hmac.new(b"secret", b"qgg8vlvZRS6UYooatFL8Aw", "sha256").hexdigest(),
    }


@pytest.mark.parametrize("text", ["v0:1893499200:{}", "", "a b", "1.2", 7, None, "x" * 256])
def test_nobody_has_a_text_of_his_own_signed_by_way_of_a_question(text: object) -> None:
    zoom = {"payload": {"plainToken": text}, "event": "endpoint.url_validation"}
    answer = challenge_answer(hooks_of("zoom"), HookRequest("POST", URL, {}, b""), zoom, Secret(SECRET))
    assert answer is None or answer["plainToken"] == str(text) == "7"


def test_ids_of_hooks_are_of_the_kinds_by_which_the_entry_knows_accounts() -> None:
    def kinds(slug: str, value: str, options: dict[str, str] | None = None) -> frozenset[str]:
        return hook_kinds(CATALOGUE.get(slug), options or {}, [NamedAccount(value)])

    assert kinds("slack", "T:U") == {"https://slack.com/api/auth.test team_id + user_id"}
    assert kinds("github-app", "2") == {"https://api.github.com/installation/repositories {installation_id=2}"}
    assert kinds("stripe-connect", "acct_x") == {"token stripe_user_id", "https://api.stripe.com/v1/account id"}
    google = "https://openidconnect.googleapis.com/v1/userinfo sub"
    assert kinds("google", "7") == {google}
    proxy = {"userinfo_url": "https://proxy.test/me"}
    assert kinds("google", "7", proxy) == {google, "https://proxy.test/me sub"}
    assert kinds("google", "7", {**proxy, "external_id_path": "email"}) == {google}


HOOKS = {
    "scheme": "hmac_sha256",
    "signature": {"header": "x-signature"},
    "type": "type",
    "events": {"gone": {"means": "uninstalled", "external_id": "account.id"}},
}


def test_a_provider_of_ones_own_needs_a_data_file_and_no_code() -> None:
    entry = read_entry("acme.yaml", "acme", {"name": "Acme", "auth_type": "oauth2", "hooks": HOOKS})
    hooks = entry.hooks
    assert hooks is not None
    [notice] = read_notices(hooks, HookRequest("POST", URL, {}, b""), {"type": "gone", "account": {"id": 7}})
    assert isinstance(notice, Notice)
    assert notice.accounts == (NamedAccount("7"),)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scheme": "magic"}, "hooks.scheme"),
        ({"signature": None}, "hooks.signature"),
        ({"signature": {"header": "X-Signature"}}, "hooks.signature.header"),
        ({"signature": {"header": "x", "value": "v0="}}, "hooks.signature.value"),
        ({"signature": {"header": "x", "signed": "{timestamp}"}}, "hooks.signature.signed"),
        ({"signature": {"header": "x", "signed": "{body}{secret}"}}, "hooks.signature.signed"),
        ({"signature": {"header": "x", "timestamp_header": "y"}}, "hooks.signature.signed"),
        (
            {"signature": {"header": "x", "timestamp_header": "y", "signed": "{timestamp}{body}"}},
            "hooks.signature.tolerance_s",
        ),
        ({"type": None}, "hooks.type"),
        ({"type": "a + b + c + d + e + f"}, "hooks.type"),
        ({"items": "a b"}, "hooks.items"),
        ({"challenge": {"type": "x", "value": "y", "answer": {"z": "{secret}"}}}, "hooks.challenge.answer.z"),
        ({"challenge": {"type": "x"}}, "hooks.challenge.value"),
        ({"events": {"gone": {"means": "uninstalled"}}}, "hooks.events.gone.external_id"),
        ({"events": {"gone": {"means": "perhaps"}}}, "hooks.events.gone.means"),
        ({"events": {"gone": {"means": "uninstalled", "property": {"name": "host"}}}}, "hooks.events.gone.property.at"),
        (
            {"events": {"gone": {"means": "uninstalled", "property": {"name": "host", "at": "h", "form": "x"}}}},
            "hooks.events.gone.property.form",
        ),
        ({"scheme": "security_event_token"}, "hooks.configuration_url"),
        ({"color": "red"}, "hooks.color"),
    ],
)
def test_hooks_that_could_not_work_are_refused_by_field(changes: dict[str, Any], field: str) -> None:
    hooks = {name: value for name, value in {**HOOKS, **changes}.items() if value is not None}
    with pytest.raises(CatalogueError) as caught:
        read_entry(
            "acme.yaml", "acme", yaml.safe_load(yaml.safe_dump({"name": "A", "auth_type": "oauth2", "hooks": hooks}))
        )
    assert caught.value.field == field


def test_slack_and_zoom_sign_alike_under_headers_of_their_own() -> None:
    body = b"{}"
    assert not is_proven("zoom", HookRequest("POST", URL, by_slack(body, NOW, SECRET, URL), body), SECRET)
    assert is_proven("zoom", HookRequest("POST", URL, by_zoom(body, NOW, SECRET, URL), body), SECRET)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["\ud800", "a.b"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "event",
                    "events",
                    "team_id",
                    "tokens",
                    "oauth",
                    "payload",
                    "sub",
                    "subject",
                    "subject_type",
                    "iss",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)
HEADERS = st.dictionaries(
    st.sampled_from(["x-shopify-topic", "x-github-event", "x-github-delivery", "x-shopify-triggered-at"]),
    st.text(max_size=30),
)


@given(slug=st.sampled_from(sorted({one.slug for one in ALL})), headers=HEADERS, document=JSON)
def test_any_document_is_read_or_illegible(slug: str, headers: dict[str, str], document: object) -> None:
    for one in read_notices(hooks_of(slug), HookRequest("POST", URL, headers, b""), document):
        assert isinstance(one, Notice | Illegible)


@given(
    slug=st.sampled_from(sorted({one.slug for one in ALL})),
    value=st.text(max_size=80) | st.from_regex(r"(t=[0-9]{1,20},)?(v0|v1|sha256)?=?[0-9a-f]{64}", fullmatch=True),
    stamp=st.text(max_size=20),
    body=st.binary(max_size=40),
)
def test_no_signature_is_right_by_accident_and_none_raises(slug: str, value: str, stamp: str, body: bytes) -> None:
    names = ("x-shopify-hmac-sha256", "x-slack-signature", "stripe-signature", "x-zm-signature", "x-hub-signature-256")
    more = ("x-hubspot-signature-v3", "intuit-signature", "x-xero-signature")
    stamps = ("x-slack-request-timestamp", "x-zm-request-timestamp", "x-hubspot-request-timestamp")
    headers = dict.fromkeys((*names, *more), value) | dict.fromkeys(stamps, stamp)
    assert not is_proven(slug, HookRequest("POST", URL, headers, body), SECRET)


@given(events=JSON, iat=JSON, subject=JSON)
def test_any_claims_are_read_or_illegible(events: object, iat: object, subject: object) -> None:
    kind = "https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked"
    for said in (events, {kind: subject}, {kind: {"subject": subject}}):
        for one in read_security_events(hooks_of("google"), {"events": said, "iat": iat, "jti": iat}):
            assert isinstance(one, Notice | Illegible)


@pytest.mark.parametrize("iat", [10**400, 1e300, float("inf"), float("nan"), -5, True, "7", None, [7]])
def test_a_token_whose_time_is_none_is_taken_for_one_of_now(iat: object) -> None:
    kind = "https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked"
    claims = {
        "iss": "i",
        "iat": iat,
        "events": {kind: {"subject": {"subject_type": "iss-sub", "iss": "i", "sub": "7"}}},
    }
    [notice] = read_security_events(hooks_of("google"), claims)
    assert isinstance(notice, Notice)
    assert notice.happened_at is None
