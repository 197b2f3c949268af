"""The SDK has every call of the API, and reads every answer, as the API's own description has them."""

import re
from collections.abc import AsyncIterator
from dataclasses import MISSING, fields
from typing import Any

import httpx
import pytest

from api_service import ADMIN_KEY, Service
from tokenkeep.client import (
    Account,
    AccountSchema,
    ApiKey,
    ApiProblem,
    AsyncTokenkeep,
    Attempt,
    AuditEntry,
    Authorized,
    ConnectSession,
    Delivery,
    Disabled,
    Erasure,
    ImportResult,
    InDoubt,
    LastError,
    NewConnectSession,
    Provider,
    Redelivery,
    Redirect,
    RefreshAsked,
    Released,
    Signature,
    Source,
    Token,
    Trial,
    Unreachable,
    Verification,
    Webhook,
    WebhookDisabled,
    refresh_requested,
)
from tokenkeep.client.reading import Answer
from walking import CALLBACK, HOOK_URL, TOKEN_URL, description, operations, things

NOT_OFFERED = {
    ("GET", "/v1/events/stream"): "`subscribe` and `iterate` read the same feed by long polls, and keep their place",
}
"""Calls that take a key and that the SDK lacks, each for a reason."""

SCHEMAS: dict[str, type[Answer]] = {
    "AccountAnswer": Account,
    "AccountSchemaAnswer": AccountSchema,
    "AccountWithCredentialsAnswer": Account,
    "ApiKeyAnswer": ApiKey,
    "AttemptAnswer": Attempt,
    "AuditAnswer": AuditEntry,
    "ConnectSessionAnswer": ConnectSession,
    "DeliveryAnswer": Delivery,
    "DisabledAccountAnswer": Account,
    "DisabledAnswer": Disabled,
    "ErasureAnswer": Erasure,
    "ImportResultAnswer": ImportResult,
    "InDoubtAnswer": InDoubt,
    "LastErrorAnswer": LastError,
    "NewApiKeyAnswer": ApiKey,
    "NewConnectSessionAnswer": NewConnectSession,
    "NewWebhookAnswer": Webhook,
    "OAuth1RedirectAnswer": Redirect,
    "OAuth1TokenAnswer": Authorized,
    "OAuth2TokenAnswer": Authorized,
    "ProviderAnswer": Provider,
    "RedeliveryAnswer": Redelivery,
    "RedirectAnswer": Redirect,
    "RefreshAnswer": RefreshAsked,
    "ReleaseAnswer": Released,
    "SignatureAnswer": Signature,
    "SourceAnswer": Source,
    "TokenAnswer": Token,
    "TrialAnswer": Trial,
    "VerificationAnswer": Verification,
    "WebhookAnswer": Webhook,
    "WebhookDisabledAnswer": WebhookDisabled,
}
"""Which value each answer becomes."""

READ_ELSEWHERE = {
    "EventAnswer",
    "FeedAnswer",
    "ProblemAnswer",
    "ReceptionAnswer",
    "OAuth1CredentialsAnswer",
    "OAuth2CredentialsAnswer",
}
"""Events, reports, problems and credentials, which have readers of their own, or stay as they are."""


class Recording(httpx.AsyncBaseTransport):
    """Asks the service, and notes which calls were made."""

    def __init__(self, service: Service) -> None:
        self._inner = httpx.ASGITransport(service.app, client=("192.0.2.7", 4711))
        self.made: list[tuple[str, str, int]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        self.made.append((request.method, request.url.path, response.status_code))
        return response


@pytest.fixture
def recording(service: Service) -> Recording:
    return Recording(service)


@pytest.fixture
async def client(service: Service, recording: Recording) -> AsyncIterator[AsyncTokenkeep]:
    environment = service.environment
    async with AsyncTokenkeep(
        "http://api.test", ADMIN_KEY, environment=environment, transport=recording, max_retries=0
    ) as made:
        yield made


async def attempted(call: Any) -> Any:
    """What a call gives. Some can't succeed here, where there is no provider: that they are made is what counts."""
    try:
        return await call
    except (ApiProblem, Unreachable) as error:
        return error


async def every_call(client: AsyncTokenkeep, ids: dict[str, str]) -> list[Any]:
    account_id, source_id, webhook_id = ids["account_id"], ids["source_id"], ids["webhook_id"]
    accounts, sources, webhooks = client.accounts, client.sources, client.webhooks
    made = await sources.create(
        "generic-oauth2", "n", client_id="c", client_secret="canary", options={"token_url": TOKEN_URL}
    )
    created = await accounts.create(
        made.id, credentials={"access_token": "a", "refresh_token": "of-the-sdk", "expires_in": 3600}, verify=False
    )
    hook = await webhooks.create(HOOK_URL, types=["account.disabled"])
    key = await client.api_keys.create("k", environment=ids["environment"], scopes=["audit:read"])
    session = await client.connect_sessions.create(ids["connectable_id"], external_id="x")
    answers = [
        made,
        created,
        hook,
        key,
        session,
        await client.connect_sessions.get(session.id),
        await accounts.get(account_id, include_credentials=True),
        await accounts.list(source_id=source_id, state="active", metadata={"a": "b"}, limit=1),
        [one async for one in accounts.iterate()],
        [one async for one in accounts.import_all([{"source_id": source_id}, {"external_id": "x"}])],
        await accounts.update(account_id, metadata={"a": "b", "gone": None}),
        await attempted(accounts.replace_credentials(created.id, {"access_token": "b", "expires_in": 60})),
        await attempted(accounts.refresh(account_id)),
        await accounts.disable(account_id),
        await accounts.enable(account_id),
        await attempted(accounts.sign(account_id, "GET", "https://api.test/")),
        await attempted(accounts.verify(account_id)),
        await accounts.token(account_id),
        await accounts.attempts(account_id),
        await accounts.events(account_id),
        await attempted(accounts.release(account_id)),
        await attempted(accounts.confirm_release(account_id)),
        await attempted(accounts.delete(created.id)),
        await sources.get(source_id),
        await sources.list(limit=1),
        [one async for one in sources.iterate()],
        await sources.update(made.id, name="m", hook_secret=None),
        await sources.pause(made.id),
        await sources.resume(made.id),
        await attempted(sources.delete(made.id)),
        await client.providers.get("quickbooks"),
        await client.providers.list(auth_type="oauth2", q="quick"),
        await attempted(client.authorizations.begin_oauth2(ids["connectable_id"], CALLBACK, state="s")),
        await attempted(client.authorizations.finish_oauth2(ids["connectable_id"], "code", callback_uri=CALLBACK)),
        await attempted(client.authorizations.begin_oauth1(ids["oauth1_id"], f"{CALLBACK}?state=s")),
        await attempted(
            client.authorizations.finish_oauth1(
                ids["oauth1_id"], "v", token="t", secret="s", callback_uri=f"{CALLBACK}?state=s"
            )
        ),
        await webhooks.get(webhook_id),
        await webhooks.list(),
        [one async for one in webhooks.iterate()],
        await webhooks.update(webhook_id, types=None, description="d"),
        await webhooks.rotate_secret(webhook_id, overlap_s=0),
        await webhooks.test(webhook_id),
        await webhooks.deliveries(webhook_id, state="pending"),
        await attempted(webhooks.redeliver(webhook_id, since=created.created_at)),
        await attempted(webhooks.delete(webhook_id)),
        await client.api_keys.list(),
        [one async for one in client.api_keys.iterate()],
        await attempted(client.api_keys.delete(key.id)),
        await client.audit.list(action="account.create", since=created.created_at),
        [one async for one in client.audit.iterate(actor="admin")],
        await client.events.list(),
        await client.events.send(refresh_requested(account_id)),
    ]
    assert made.document.get("client_secret") is None
    return answers


async def test_every_operation_of_the_api_has_its_call(
    service: Service, client: AsyncTokenkeep, recording: Recording
) -> None:
    document = await description(service)
    answers = await every_call(client, await things(service))
    assert not {type(one).__name__ for one in answers} & {"UnreadableAnswer"}
    patterns = {
        (method, path): re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for method, path, _ in operations(document)
    }
    made = {
        (method, path)
        for (method, path), pattern in patterns.items()
        for one, url, _ in recording.made
        if one == method and pattern.fullmatch(url)
    }
    missing = patterns.keys() - made
    assert missing == NOT_OFFERED.keys(), "the SDK lacks these calls"
    refused = {(method, url, status) for method, url, status in recording.made if status in {404, 405, 415, 422}}
    # What is wrong with these is that there is no such provider and no such session here; the form of all others is taken.
    assert {url for _, url, _ in refused} <= {"/oauth1/v1/access_token", "/oauth2/v1/access_token"}, refused


async def test_every_answer_is_read_with_every_member(service: Service) -> None:
    schemas = (await description(service))["components"]["schemas"]
    answered = {name for name in schemas if name.endswith("Answer")}
    assert answered - READ_ELSEWHERE == SCHEMAS.keys()
    for name, kind in SCHEMAS.items():
        members = {it.name: it for it in fields(kind) if it.name != "document"}
        described = schemas[name]["properties"]
        assert described.keys() <= members.keys(), name
        required = {it.name for it in members.values() if it.default is MISSING and it.default_factory is MISSING}
        assert required <= set(schemas[name].get("required", ())), name
    for kind in set(SCHEMAS.values()):
        known = {member for name, one in SCHEMAS.items() if one is kind for member in schemas[name]["properties"]}
        assert {it.name for it in fields(kind)} - {"document"} == known, kind
