"""Notices as providers document them, and signatures as providers make them: written down here apart from what reads them.

Each sample names where it was read. Ids are the documents' own; a time is put in where a test needs another one.
"""

# ruff: noqa: ARG001 - all of them sign by the same arguments

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SECRET = "canary-hook-secret"
CLIENT_SECRET = "canary-client-secret"
URL = "https://tokenkeep.example/v1/provider-hooks/src_x"


def seconds(at: datetime) -> str:
    return str(int(at.timestamp()))


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _mac(secret: str, content: bytes) -> bytes:
    return hmac.new(secret.encode(), content, hashlib.sha256).digest()


def by_shopify(body: bytes, at: datetime, secret: str, url: str) -> dict[str, str]:
    return {"x-shopify-hmac-sha256": base64.b64encode(_mac(secret, body)).decode()}


def by_slack(body: bytes, at: datetime, secret: str, url: str) -> dict[str, str]:
    signed = b"v0:" + seconds(at).encode() + b":" + body
    return {"x-slack-signature": f"v0={_mac(secret, signed).hex()}", "x-slack-request-timestamp": seconds(at)}


def by_zoom(body: bytes, at: datetime, secret: str, url: str) -> dict[str, str]:
    signed = b"v0:" + seconds(at).encode() + b":" + body
    return {"x-zm-signature": f"v0={_mac(secret, signed).hex()}", "x-zm-request-timestamp": seconds(at)}


def by_github(body: bytes, at: datetime, secret: str, url: str) -> dict[str, str]:
    return {"x-hub-signature-256": f"sha256={_mac(secret, body).hex()}"}


def by_stripe(body: bytes, at: datetime, secret: str, url: str) -> dict[str, str]:
    signature = _mac(secret, seconds(at).encode() + b"." + body).hex()
    # A key that is rolled yields two signatures, and v0 is of test mode.
    return {"stripe-signature": f"t={seconds(at)},v1={'0' * 64},v1={signature},v0={'1' * 64}"}


def by_hubspot(body: bytes, at: datetime, secret: str, url: str) -> dict[str, str]:
    stamp = str(int(at.timestamp() * 1000))
    signed = b"POST" + url.encode() + body + stamp.encode()
    return {
        "x-hubspot-signature-v3": base64.b64encode(_mac(secret, signed)).decode(),
        "x-hubspot-request-timestamp": stamp,
    }


def by_intuit(body: bytes, at: datetime, secret: str, url: str) -> dict[str, str]:
    return {"intuit-signature": base64.b64encode(_mac(secret, body)).decode()}


def by_xero(body: bytes, at: datetime, secret: str, url: str) -> dict[str, str]:
    return {"x-xero-signature": base64.b64encode(_mac(secret, body)).decode()}


def by_square(body: bytes, at: datetime, secret: str, url: str) -> dict[str, str]:
    return {"x-square-hmacsha256-signature": base64.b64encode(_mac(secret, url.encode() + body)).decode()}


Signing = Callable[[bytes, datetime, str, str], dict[str, str]]


@dataclass(frozen=True)
class Sample:
    """A notice. `origin` is where it was read; `timed` puts another time into it; `meant` are the external ids that it names."""

    slug: str
    origin: str
    document: Any
    sign: Signing
    headers: Mapping[str, str] = field(default_factory=dict)
    secret: str = SECRET
    meant: tuple[str, ...] = ()
    at_header: str | None = None
    timed: Callable[[Any, datetime], Any] | None = None

    def request(self, at: datetime, *, secret: str | None = None, url: str = URL) -> tuple[bytes, dict[str, str]]:
        """Body and headers, of something that happened then and is sent then."""
        document = self.document if self.timed is None else self.timed(self.document, at)
        body = json.dumps(document).encode()
        when = {} if self.at_header is None else {self.at_header: rfc3339(at)}
        return body, {**self.headers, **when, **self.sign(body, at, secret or self.secret, url)}


SHOPIFY = Sample(
    "shopify",
    "https://shopify.dev/docs/api/admin-rest/latest/resources/webhook (app/uninstalled; shortened, reconstructed from memory)",
    {"id": 548380009, "name": "Super Toys", "domain": None, "myshopify_domain": "super-toys.myshopify.com"},
    by_shopify,
    headers={
        "x-shopify-topic": "app/uninstalled",
        "x-shopify-shop-domain": "super-toys.myshopify.com",
        "x-shopify-webhook-id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    },
    secret=CLIENT_SECRET,
    meant=("548380009",),
    at_header="x-shopify-triggered-at",
)
SLACK_APP = Sample(
    "slack",
    "https://api.slack.com/events/app_uninstalled",
    {
        "token": "XXYYZZ",
        "team_id": "TXXXXXXXX",
        "api_app_id": "AXXXXXXXXX",
        "event": {"type": "app_uninstalled"},
        "type": "event_callback",
        "event_id": "EvXXXXXXXX",
        "event_time": 1234567890,
    },
    by_slack,
    meant=("TXXXXXXXX:UAAAAAAAA", "TXXXXXXXX:UBBBBBBBB"),
    timed=lambda document, at: {**document, "event_time": int(at.timestamp())},
)
SLACK_TOKENS = Sample(
    "slack",
    "https://docs.slack.dev/reference/events/tokens_revoked",
    {
        "token": "XXYYZZ",
        "team_id": "TXXXXXXXX",
        "api_app_id": "AXXXXXXXXX",
        "event": {"type": "tokens_revoked", "tokens": {"oauth": ["UXXXXXXXX"], "bot": ["UXXXXXXXX"]}},
        "type": "event_callback",
        "event_id": "EvXXXXXXXX",
        "event_time": 1234567890,
    },
    by_slack,
    meant=("TXXXXXXXX:UXXXXXXXX",),
    timed=lambda document, at: {**document, "event_time": int(at.timestamp())},
)
GITHUB_USER = Sample(
    "github-app-user",
    "https://docs.github.com/en/webhooks/webhook-events-and-payloads (github_app_authorization; sender shortened)",
    {"action": "revoked", "sender": {"login": "octocat", "id": 583231, "type": "User"}},
    by_github,
    headers={"x-github-event": "github_app_authorization", "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"},
    meant=("583231",),
)
GITHUB_APP = Sample(
    "github-app",
    "https://docs.github.com/en/webhooks/webhook-events-and-payloads (installation; shortened)",
    {
        "action": "deleted",
        "installation": {"id": 2, "account": {"login": "octocat", "id": 1}, "app_id": 5725},
        "repositories": [],
        "sender": {"login": "octocat", "id": 1, "type": "User"},
    },
    by_github,
    headers={"x-github-event": "installation", "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0959"},
    meant=("2",),
)
STRIPE = Sample(
    "stripe-connect",
    "https://github.com/Nakajima-Foundation/ownplate/blob/master/functions/tests/data/accounts/application.deauthorized.ts",
    {
        "id": "evt_xxx",
        "object": "event",
        "account": "acct_xxxxxxxx",
        "api_version": "2020-03-02",
        "created": 1592783411,
        "data": {"object": {"id": "ca_xxx", "object": "application", "name": None}},
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "account.application.deauthorized",
    },
    by_stripe,
    meant=("acct_xxxxxxxx",),
    timed=lambda document, at: {**document, "created": int(at.timestamp())},
)
ZOOM = Sample(
    "zoom",
    "https://devforum.zoom.us/t/cant-verify-deauthorization-event-notification-using-secret-token/133778",
    {
        "event": "app_deauthorized",
        "event_ts": 1749365726209,
        "payload": {
            "account_id": "MXEuWmOmTsKWUswrfpPslg",
            "client_id": "bDU6oQQ5Qe6sz9mVaMVEyw",
            "deauthorization_time": "2025-06-08T06:55:26.209Z",
            "signature": "18f3b817cd03d164190b0d72755fdf51a33484ed89872838633adf0295fd99d5",
            "user_data_retention": None,
            "user_id": "NtEMagHcQAygosd81Lzysw",
        },
    },
    by_zoom,
    meant=("MXEuWmOmTsKWUswrfpPslg:NtEMagHcQAygosd81Lzysw",),
    timed=lambda document, at: {
        **document,
        "payload": {**document["payload"], "deauthorization_time": rfc3339(at)},
    },
)
HUBSPOT = Sample(
    "hubspot",
    "reconstructed: members of https://developers.hubspot.com/docs/api-reference/legacy/webhooks/guide, and the journal's action"
    " (https://developers.hubspot.com/docs/api-reference/latest/webhooks-journal/guide)",
    [
        {"eventId": 99, "subscriptionId": 2, "portalId": 62515, "subscriptionType": "contact.creation", "objectId": 1},
        "not a notice",
        {"eventId": 100, "portalId": 62515, "appId": 54321, "occurredAt": 1564113600000, "action": "APP_UNINSTALL"},
    ],
    by_hubspot,
    secret=CLIENT_SECRET,
    meant=("62515",),
    timed=lambda document, at: [*document[:2], {**document[2], "occurredAt": int(at.timestamp() * 1000)}],
)
SQUARE = Sample(
    "square",
    "https://developer.squareup.com/blog/introducing-oauth-revocation-webhook-events (its members by the reference)",
    {
        "merchant_id": "J9Z30SF99NPFJ",
        "type": "oauth.authorization.revoked",
        "event_id": "d6b4ad4b-9ae1-4d1c-9f0c-6c7d3f0e5a11",
        "created_at": "2020-01-26T02:25:34Z",
        "data": {
            "type": "revocation",
            "id": "2c5d6c1e-8f1c-4b61-a9d0-2f3b6f9a6d52",
            "object": {"revocation": {"revoked_at": "2020-01-26T02:25:34Z", "revoker_type": "MERCHANT"}},
        },
    },
    by_square,
    meant=("J9Z30SF99NPFJ",),
    timed=lambda document, at: {
        **document,
        "data": {"object": {"revocation": {"revoked_at": rfc3339(at), "revoker_type": "MERCHANT"}}},
    },
)
INTUIT = Sample(
    "quickbooks",
    "https://blogs.intuit.com/2025/11/12/upcoming-change-to-webhooks-payload-structure",
    [
        {
            "specversion": "1.0",
            "id": "88cd52aa-33b6-4351-9aa4-47572edbd068",
            "source": "intuit.dsnBgbseACLLRZNxo2dfc4evmEJdxde58xeeYcZliOU=",
            "type": "qbo.account.created.v1",
            "datacontenttype": "application/json",
            "time": "2025-09-10T21:31:25.179851517Z",
            "intuitentityid": "1234",
            "intuitaccountid": "310687",
            "data": {},
        }
    ],
    by_intuit,
)
XERO = Sample(
    "xero",
    "https://github.com/XeroAPI/Xero-OpenAPI/blob/master/xero-webhooks.yaml",
    {
        "events": [
            {
                "resourceUrl": "https://api.xero.com/api.xro/2.0/Contacts/717f2bfc-c6d4-41fd-b238-3f2f0c0cf777",
                "resourceId": "717f2bfc-c6d4-41fd-b238-3f2f0c0cf777",
                "eventDateUtc": "2024-06-21T01:15:39.902",
                "eventType": "UPDATE",
                "eventCategory": "CONTACT",
                "tenantId": "c2cc9b6e-9458-4c7d-93cc-f02b81b0594f",
                "tenantType": "ORGANISATION",
            }
        ],
        "lastEventSequence": 1,
        "firstEventSequence": 1,
        "entropy": "S0m3r4Nd0mt3xt",
    },
    by_xero,
)
XERO_INTENT = {"events": [], "lastEventSequence": 0, "firstEventSequence": 0, "entropy": "S0m3r4Nd0mt3xt"}

ENDING = (SHOPIFY, SLACK_APP, SLACK_TOKENS, GITHUB_USER, GITHUB_APP, STRIPE, ZOOM, HUBSPOT, SQUARE)
"""Those that end grants."""
ALL = (*ENDING, INTUIT, XERO)

GOOGLE_ISSUER = "https://accounts.google.com/"
GOOGLE_CLIENT = "123456789-abcedfgh.apps.googleusercontent.com"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
OAUTH = "https://schemas.openid.net/secevent/oauth/event-type/"


def google_claims(kind: str, subject: object, at: datetime, **more: Any) -> dict[str, Any]:
    """The claims of https://developers.google.com/identity/protocols/risc, for another event or time."""
    return {
        "iss": GOOGLE_ISSUER,
        "aud": GOOGLE_CLIENT,
        "iat": int(at.timestamp()),
        "jti": "756E69717565206964656E746966696572",
        "events": {kind: {"subject": subject, "reason": "hijacking"}},
        **more,
    }


def google_user(sub: str = "7375626A656374") -> dict[str, str]:
    return {"subject_type": "iss-sub", "iss": GOOGLE_ISSUER, "sub": sub}


def google_token(refresh_token: str, alg: str) -> dict[str, str]:
    """A refresh token as Google's page says that it is told."""
    double = hashlib.sha512(hashlib.sha512(refresh_token.encode()).digest()).digest()
    told = refresh_token[:16] if alg == "prefix" else base64.b64encode(double).decode()
    return {
        "subject_type": "oauth_token",
        "token_type": "refresh_token",
        "token_identifier_alg": alg,
        "token": told,
    }
