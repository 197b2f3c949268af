"""The console over HTTP: who gets in, what forms need, what never shows."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from api_service import ADMIN_KEY, Service, data, open_service
from shown_form import shown_form
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep.adapters.redis.inbox_stream import DEAD, STREAM
from webhook_house import Hooks, delivering
from webhook_receiver import Receiver

_FORM_KEY = re.compile(r'name="form" value="([0-9a-f]{64})"')
_ONCE = re.compile(r'name="once" value="([A-Za-z0-9_-]{43})"')


@asynccontextmanager
async def a_browser(service: Service, address: str = "192.0.2.50") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(service.app, client=(address, 4711))
    base = service.foundation.settings.external_url
    async with httpx.AsyncClient(transport=transport, base_url=base, headers={"Sec-Fetch-Site": "same-origin"}) as http:
        yield http


def form_key(page: httpx.Response) -> str:
    found = _FORM_KEY.search(page.text)
    assert found is not None, f"{page.status_code} {page.text}"
    return found[1]


async def enter(http: httpx.AsyncClient, key: str, **fields: str) -> httpx.Response:
    page = await http.get("/console/sign-in")
    return await http.post("/console/sign-in", data={"form": form_key(page), "key": key, **fields})


@asynccontextmanager
async def signed_in(service: Service, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    async with a_browser(service) as http:
        environment = service.environment if key is None else ""
        entered = await enter(http, key or ADMIN_KEY, environment=environment)
        assert entered.status_code == 303, entered.text
        yield http


async def test_nobody_sees_a_page_without_a_session(service: Service) -> None:
    async with a_browser(service) as http:
        for path in ("", "/accounts", "/sources/new", "/keys", "/webhooks/whk_1/edit", "/accounts/acc_1/delete"):
            answer = await http.get(f"/console{path}")
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/console/sign-in?next=%2Fconsole"), path
        for path in ("/keys", "/accounts/acc_1/delete", "/sources/src_1/pause", "/sign-out"):
            answer = await http.post(f"/console{path}", data={"form": "0" * 64})
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/console/sign-in"), path


async def test_a_form_of_another_site_does_nothing(service: Service) -> None:
    async with signed_in(service) as http:
        for given in ({}, {"form": "0" * 64}):
            answer = await http.post("/console/keys", data={"name": "stolen", "scope:admin": "on", **given})
            assert answer.status_code == 403
            assert "Nothing was done" in answer.text
        async with service.client() as admin:
            assert data(await admin.get("/v1/api-keys")) == []


async def test_the_form_for_signing_in_is_tied_to_the_browser_too(service: Service) -> None:
    async with a_browser(service) as mine, a_browser(service) as theirs:
        key = form_key(await theirs.get("/console/sign-in"))
        await mine.get("/console/sign-in")
        answer = await mine.post("/console/sign-in", data={"form": key, "key": ADMIN_KEY})
        assert answer.status_code == 403
        assert "tokenkeep_console" not in {name for name in mine.cookies if not name.endswith("_form")}


async def test_over_https_the_cookies_are_of_this_host_alone(api_database_url: str, redis_url: str) -> None:
    async with open_service(api_database_url, redis_url, public_url="https://keep.example/tk") as service:
        transport = httpx.ASGITransport(service.app, client=("192.0.2.50", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="https://keep.example") as http:
            page = await http.get("/console/sign-in")
            assert 'action="/tk/console/sign-in"' in page.text
            entered = await http.post("/console/sign-in", data={"form": form_key(page), "key": ADMIN_KEY})
            assert entered.headers["location"] == "/tk/console"
            for answer, name in ((page, "__Host-tokenkeep_console_form"), (entered, "__Host-tokenkeep_console")):
                cookie = answer.headers["set-cookie"]
                assert cookie.startswith(f"{name}=")
                for attribute in ("HttpOnly", "Secure", "SameSite=strict", "Path=/", "Max-Age=28800"):
                    assert attribute in cookie, cookie


async def test_no_page_may_run_what_is_not_ours_or_be_kept(service: Service) -> None:
    async with signed_in(service) as http:
        for path in ("", "/accounts", "/keys", "/no-such-page"):
            answer = await http.get(f"/console{path}")
            assert answer.headers["content-type"] == "text/html; charset=utf-8", path
            assert answer.headers["cache-control"] == "no-store", path
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy


async def test_an_account_that_nobody_refreshes_is_not_called_well(service: Service) -> None:
    account_id = await service.account(await service.source("https://provider.example/token"))
    async with signed_in(service) as http:
        assert "All is well." in (await http.get(f"/console/accounts/{account_id}")).text
        await service.sql(
            """UPDATE leases SET next_refresh_at = now() - interval '3 minutes'
                WHERE source_id IN (SELECT id FROM sources WHERE environment = :environment)""",
            environment=service.environment,
        )
        page = (await http.get(f"/console/accounts/{account_id}")).text
        assert "A refresh has been due since" in page
        assert "All is well." not in page


async def test_what_others_wrote_is_shown_and_not_run(service: Service) -> None:
    evil = '"><script>alert(1)</script>'
    source_id = await service.source("https://provider.example/token")
    body = {"source_id": source_id, "external_id": evil, "metadata": {evil: evil}}
    async with service.client() as admin:
        account_id = data(await admin.post("/v1/accounts", json=body), 201)["id"]
    async with signed_in(service) as http:
        for path in (f"/accounts/{account_id}", "/accounts", "/events", f"/accounts/{account_id}/edit"):
            page = (await http.get(f"/console{path}")).text
            assert "<script>alert" not in page, path
            assert "&lt;script&gt;alert" in page, path
        page = (await http.get("/console/accounts", params={"q": evil})).text
        assert "<script>alert" not in page
        page = (await http.get(f"/console/accounts/{account_id}/delete", params={"name": evil})).text
        assert "<script>alert" not in page


async def test_signing_in_leads_to_pages_of_the_console_alone(service: Service) -> None:
    for target, led in (
        ("/console/accounts?state=active", "/console/accounts?state=active"),
        ("https://evil.example/console", "/console"),
        ("//evil.example/console", "/console"),
        ("/console\\evil", "/console"),
        ("/connect/x", "/console"),
    ):
        async with a_browser(service, f"192.0.2.{len(target)}") as http:
            answer = await enter(http, ADMIN_KEY, next=target)
            assert answer.headers["location"] == led, target


async def test_where_to_go_next_may_be_no_address_at_all(service: Service) -> None:
    async with a_browser(service) as http:
        for target in ("//[", "http://[::1", "//℀"):
            page = await http.get("/console/sign-in", params={"next": target})
            assert page.status_code == 200, target
            assert 'name="next" value="/console"' in page.text


async def test_keys_that_are_guessed_are_soon_not_looked_at(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenkeep_api.console.front.monotonic", lambda: 4711.0)
    async with a_browser(service, "198.51.100.7") as http:
        statuses = [(await enter(http, f"tk_guess-{number}")).status_code for number in range(12)]
        assert statuses[:10] == [401] * 10
        assert statuses[-1] == 429
        assert (await enter(http, ADMIN_KEY)).status_code == 429
    async with a_browser(service, "198.51.100.8") as http:
        assert (await enter(http, ADMIN_KEY)).status_code == 303


async def test_a_key_sees_its_own_environment_alone(service: Service) -> None:
    source_id = await service.source("https://provider.example/token")
    key = await service.key("sources:read", "accounts:read", environment=f"{service.environment}-other")
    async with signed_in(service, key) as http:
        assert source_id not in (await http.get("/console/sources")).text
        assert (await http.get(f"/console/sources/{source_id}")).status_code == 404
    async with a_browser(service, "198.51.100.9") as http:
        refused = await enter(http, key, environment=service.environment)
        assert refused.status_code == 422
        assert "This API key belongs to another environment." in refused.text
        assert key not in refused.text


async def test_a_session_is_over_after_eight_hours_and_is_swept(service: Service) -> None:
    async with signed_in(service) as http:
        assert (await http.get("/console")).status_code == 200
        await service.sql("UPDATE console_sessions SET expires_at = statement_timestamp()")
        assert (await http.get("/console")).status_code == 303
        await keep_house(service.foundation.database, audit_days=0)
        assert await service.sql("SELECT * FROM console_sessions") == []


async def test_a_session_that_can_not_be_opened_any_more_leads_to_signing_in_and_not_to_a_fault(
    service: Service,
) -> None:
    async with signed_in(service) as http:
        await service.sql("UPDATE console_sessions SET owner = gen_random_uuid()")
        answer = await http.get("/console")
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in?next=%2Fconsole")


async def test_the_database_knows_neither_the_session_nor_the_key(service: Service) -> None:
    key = await service.key("accounts:read")
    async with signed_in(service, key) as http:
        token = http.cookies["tokenkeep_console"]
        rows = await service.sql("SELECT t::text FROM console_sessions AS t")
        [(hashed,)] = [
            tuple(row.values())
            for row in await service.sql(
                "SELECT encode(key_hash, 'hex') FROM api_keys WHERE name = 'a key' AND environment = :e",
                e=service.environment,
            )
        ]
        stored = str([dict(row) for row in rows])
        assert token not in stored
        assert token.encode().hex() not in stored
        assert hashed not in stored


async def test_no_log_line_holds_the_key_or_the_session(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    key = await service.key("accounts:read")
    async with signed_in(service, key) as http:
        await http.get("/console/accounts")
        token = http.cookies["tokenkeep_console"]
    said = capsys.readouterr()
    for secret in (key, token):
        assert secret not in said.out + said.err


async def test_a_form_that_is_sent_twice_makes_one_key_and_shows_it_again(service: Service) -> None:
    async with signed_in(service) as http:
        page = await http.get("/console/keys")
        once = _ONCE.search(page.text)
        assert once is not None
        form = {"form": form_key(page), "once": once[1], "name": "a key", "scope:accounts:read": "on"}
        first = await http.post("/console/keys", data=form)
        second = await http.post("/console/keys", data=form)
        shown = re.findall(r'value="(tk_[^"]+)"', first.text)
        assert len(shown) == 1
        assert re.findall(r'value="(tk_[^"]+)"', second.text) == shown
    async with service.client() as admin:
        assert len(data(await admin.get("/v1/api-keys"))) == 1


async def test_a_page_that_is_reached_from_another_site_asks_for_itself_and_signs_nobody_out(service: Service) -> None:
    async with signed_in(service) as http:
        session = dict(http.cookies)
        async with a_browser(service) as without:
            answer = await without.get("/console/accounts", headers={"Sec-Fetch-Site": "cross-site"})
            assert answer.status_code == 200
            assert '<meta http-equiv="refresh" content="0">' in answer.text
            assert "set-cookie" not in answer.headers
        assert dict(http.cookies) == session


async def test_a_body_that_is_no_form_is_refused_as_a_page(service: Service) -> None:
    async with signed_in(service) as http:
        answer = await http.post("/console/keys", json={"name": "x"})
        assert answer.status_code == 415
        assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_source_without_accounts_is_deleted_after_a_question(service: Service) -> None:
    source_id = await service.source("https://provider.example/token")
    at = f"/console/sources/{source_id}"
    async with signed_in(service, await service.key("sources:read")) as reader:
        assert f"{at}/delete" not in (await reader.get(at)).text
        assert (await reader.get(f"{at}/delete")).status_code == 404
    async with signed_in(service, await service.key("sources:read", "sources:write")) as blind:
        assert f"{at}/delete" in (await blind.get(at)).text  # it may not see whether there are accounts
    account_id = await service.account(source_id)
    async with signed_in(service) as http:
        page = await http.get(at)
        assert f"{at}/delete" not in page.text
        assert "It can be deleted when it has no accounts any more" in page.text
        refused = await http.post(f"{at}/delete", data={"form": form_key(page)})
        assert (refused.status_code, "The source has 1 account: release those" in refused.text) == (409, True)
        async with service.client() as admin:
            assert (await admin.delete(f"/v1/accounts/{account_id}")).status_code == 204
        page = await http.get(at)
        assert f"{at}/delete" in page.text
        assert "It can be deleted when" not in page.text
        asked = await http.get(f"{at}/delete")
        assert "Delete: a source?" in asked.text
        done = await http.post(f"{at}/delete", data={"form": form_key(asked)})
        assert (done.status_code, done.headers["location"]) == (303, "/console/sources?done=source_deleted")
        assert "The source is deleted." in (await http.get(done.headers["location"])).text
        assert (await http.get(at)).status_code == 404


async def test_a_mass_revocation_is_decided_on_the_source_s_page(service: Service) -> None:
    source_id = await service.source("https://provider.example/token")
    await service.sql(
        "UPDATE sources SET state = 'paused', paused_reason = 'mass_revocation', paused_at = clock_timestamp() WHERE id = CAST(:id AS uuid)",
        id=source_id.removeprefix("src_"),
    )
    async with signed_in(service) as http:
        page = await http.get(f"/console/sources/{source_id}")
        assert "Is the provider to be believed?" in page.text
        assert f'/sources/{source_id}/resume"' not in page.text
        asked = await http.get(f"/console/sources/{source_id}/believe")
        assert "Only their users can bring them back" in asked.text
        decided = await http.post(f"/console/sources/{source_id}/disbelieve", data={"form": form_key(page)})
        assert decided.status_code == 303, decided.text
    async with service.client() as admin:
        assert data(await admin.get(f"/v1/sources/{source_id}"))["state"] == "active"
        assert data(await admin.get("/v1/audit"))[0]["action"] == "source.resume"


@pytest.mark.parametrize(
    ("provider", "source", "entered", "stored"),
    [
        (
            "generic-api-key",
            {},
            {"credentials.api_key": "canary-1", "others": "account=a"},
            {"api_key": "canary-1", "account": "a"},
        ),
        (
            "generic-basic",
            {},
            {"credentials.username": "Aladdin", "credentials.password": "open sesame"},
            {"username": "Aladdin", "password": "open sesame"},
        ),
        ("generic-bearer", {}, {"credentials.access_token": "canary-1"}, {"access_token": "canary-1"}),
        ("generic-custom", {}, {"others": "a=canary-1\r\nb=2"}, {"a": "canary-1", "b": "2"}),
        (
            "generic-oauth1",
            {
                "client_id": "consumer",
                "client_secret": "consumer-secret",
                "options": {
                    "request_token_url": "https://provider.example/request",
                    "authorization_url": "https://provider.example/authorize",
                    "access_token_url": "https://provider.example/access",
                },
            },
            {"credentials.oauth_token": "t", "credentials.oauth_token_secret": "s"},
            {"oauth_token": "t", "oauth_token_secret": "s", "oauth_consumer_key": "consumer"},
        ),
        (
            "generic-oauth2",
            {"client_id": "client", "options": {"token_url": "https://provider.example/token"}},
            {"credentials.access_token": "at", "credentials.expires_in": "3600", "credentials.scopes": "read\r\nwrite"},
            {"oauth_access_token": "at", "token_type": "Bearer", "scopes": ["read", "write"]},
        ),
    ],
)
async def test_an_account_of_every_kind_is_created_by_a_form(
    service: Service, provider: str, source: dict[str, object], entered: dict[str, str], stored: dict[str, object]
) -> None:
    async with service.client() as admin, signed_in(service) as http:
        body = {"provider": provider, "name": "a source", **source}
        source_id = data(await admin.post("/v1/sources", json=body), 201)["id"]
        page = await http.get("/console/accounts/new", params={"source_id": source_id})
        for name in entered:
            assert f'name="{name}"' in page.text, name
        given = {"form": form_key(page), "source_id": source_id, "kind": "0", "external_id": "ann", **entered}
        made = await http.post("/console/accounts/new", data=given)
        assert made.status_code == 303, made.text
        [account] = data(await admin.get("/v1/accounts", params={"source_id": source_id}))
        assert made.headers["location"] == f"/console/accounts/{account['id']}?done=created"
        assert (account["state"], account["external_id"]) == ("active", "ann")
        shown = data(await admin.get(f"/v1/accounts/{account['id']}", params={"include_credentials": "1"}))
        assert {name: shown["credentials"][name] for name in stored} == stored
        page = await http.get(f"/console/accounts/{account['id']}")
        assert "canary-1" not in page.text


async def test_credentials_of_every_kind_are_replaced_by_the_same_form(service: Service) -> None:
    async with service.client() as admin, signed_in(service) as http:
        for provider, given, other, stored in (
            ("generic-api-key", {"api_key": "old"}, {"credentials.api_key": "new"}, {"api_key": "new"}),
            (
                "generic-basic",
                {"username": "a", "password": "old"},
                {"credentials.username": "a", "credentials.password": "new"},
                {"username": "a", "password": "new"},
            ),
            ("generic-custom", {"a": "old"}, {"others": "a=new"}, {"a": "new"}),
            (
                "generic-bearer",
                {"access_token": "old"},
                {"credentials.access_token": "new"},
                {"access_token": "new"},
            ),
        ):
            source_id = data(await admin.post("/v1/sources", json={"provider": provider, "name": "s"}), 201)["id"]
            body = {"source_id": source_id, "credentials": given}
            account_id = data(await admin.post("/v1/accounts", json=body), 201)["id"]
            data(await admin.post(f"/v1/accounts/{account_id}/disable"))
            path = f"/console/accounts/{account_id}"
            assert f'href="{path}/credentials"' in (await http.get(path)).text
            page = await http.get(f"{path}/credentials")
            wrong = await http.post(f"{path}/credentials", data={"form": form_key(page), **dict.fromkeys(other, "")})
            assert wrong.status_code == 422, provider
            answer = await http.post(f"{path}/credentials", data={"form": form_key(page), **other})
            assert answer.headers["location"] == f"{path}?done=replaced", answer.text
            shown = data(await admin.get(f"/v1/accounts/{account_id}", params={"include_credentials": "1"}))
            assert (shown["state"], shown["credentials"]) == ("active", stored)
        async with signed_in(service, await service.key("accounts:read", "sources:read")) as reader:
            page = await reader.get(path)
            assert f'href="{path}/credentials"' not in page.text
            answer = await reader.post(f"{path}/credentials", data={"form": form_key(page), "others": "a=b"})
            assert answer.status_code == 403


async def test_after_the_database_went_back_in_time_going_on_asks_first(service: Service) -> None:
    source_id = await service.source("https://provider.example/token")
    await service.sql(
        "UPDATE sources SET state = 'paused', paused_reason = 'rollback', paused_at = clock_timestamp() WHERE id = CAST(:id AS uuid)",
        id=source_id.removeprefix("src_"),
    )
    async with signed_in(service) as http:
        page = await http.get(f"/console/sources/{source_id}")
        assert f'action="/console/sources/{source_id}/resume' not in page.text
        asked = await http.get(f"/console/sources/{source_id}/resume-older")
        assert "restore that instead" in asked.text


async def test_a_question_names_the_thing_itself_whatever_the_address_says(service: Service) -> None:
    source_id = await service.source("https://provider.example/token")
    async with signed_in(service) as http:
        page = await http.get(f"/console/sources/{source_id}/pause", params={"name": "something harmless"})
        assert "Pause: a source?" in page.text
        for path in (
            "/sources/src_0193e1a4c1c07d0f8f3c7be4a1b2c3d4/pause",
            "/sources/x/pause",
            "/accounts/x/no-such-act",
        ):
            assert (await http.get(f"/console{path}")).status_code in {404, 422}, path
        for kind in ("²", "-1", "9" * 30):
            given = {"source_id": source_id, "kind": kind}
            assert (await http.get("/console/accounts/new", params=given)).status_code == 200


async def test_a_journal_is_read_to_its_end_and_not_over_again(service: Service) -> None:
    source_id = await service.source("https://provider.example/token")
    account_id = await service.account(source_id)
    async with signed_in(service) as http, service.client() as admin:
        for _ in range(30):
            for call in ("disable", "enable"):
                data(await admin.post(f"/v1/accounts/{account_id}/{call}"))
        page = await http.get(f"/console/accounts/{account_id}")
        older = re.search(r'href="(\?[^"]+)">Older<', page.text)
        assert older is not None
        assert "Account created." not in page.text
        last = await http.get(f"/console/accounts/{account_id}{older[1].replace('&amp;', '&')}")
        assert last.text.count("Account created.") == 1
        assert ">Older<" not in last.text


async def test_what_a_webhook_has_missed_is_delivered_again(service: Service) -> None:
    async with signed_in(service) as http, service.client() as admin:
        source_id = await service.source("https://provider.example/token")
        data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)
        body = {"url": "http://127.0.0.1:9/hook"}
        webhook_id = data(await admin.post("/v1/webhooks", json=body), 201)["id"]
        page = await http.get(f"/console/webhooks/{webhook_id}")
        given = {"form": form_key(page), "since": "2020-01-01T00:00:00Z"}
        answer = await http.post(f"/console/webhooks/{webhook_id}/redeliver", data=given)
        assert answer.headers["location"].endswith("?done=redelivered"), answer.text
        page = await http.get(f"/console/webhooks/{webhook_id}?state=pending")
        assert "tokenkeep.account.created" in page.text
        wrong = await http.post(f"/console/webhooks/{webhook_id}/redeliver", data={**given, "since": "yesterday"})
        assert wrong.status_code == 422


async def _a_failed_event(service: Service, environment: str) -> str:
    account_id = await service.account(await service.source("https://provider.example/token"), environment)
    [row] = await service.sql(
        "INSERT INTO inbox_events (environment, source, id, type, account_id, actor, correlation_id, tries, error, outcome, settled_at)"
        " VALUES (:environment, 'billing', :id, 'tokenkeep.account.revoked', CAST(:account AS uuid), 'key', 'cor', 20, 'VaultError',"
        " 'failed', now()) RETURNING position",
        environment=environment,
        id=account_id,
        account=account_id.removeprefix("acc_"),
    )
    return str(row["position"])


async def _outcome(service: Service, position: str) -> str | None:
    [row] = await service.sql("SELECT outcome FROM inbox_events WHERE position = :p", p=int(position))
    return None if row["outcome"] is None else str(row["outcome"])


async def test_what_services_reported_in_vain_is_tried_again_by_those_who_may(service: Service) -> None:
    ours = await _a_failed_event(service, service.environment)
    theirs = await _a_failed_event(service, f"{service.environment}-other")
    redis = service.foundation.redis
    added: Any = await redis.xadd(DEAD, {"reason": "is no JSON", "event": "<b>{"})
    entry = added.decode()
    key = await service.key("events:read", "audit:read")
    async with signed_in(service, key) as reader:
        page = await reader.get("/console/events/dead")
        assert "VaultError" in page.text
        assert "is no JSON" not in page.text
        assert "Try again</button>" not in page.text
        for given in ({"position": ours}, {"entry": entry}):
            answer = await reader.post("/console/events/dead", data={"form": form_key(page), **given})
            assert answer.status_code == 403
            assert "events:write" in answer.text
    async with signed_in(service, await service.key("admin")) as operator:
        page = await operator.get("/console/events/dead")
        for given in ({"position": theirs}, {"entry": entry}, {"entry": "x"}, {"position": "9" * 18}, {}):
            answer = await operator.post("/console/events/dead", data={"form": form_key(page), **given})
            assert answer.status_code == 404, given
        answer = await operator.post("/console/events/dead", data={"form": form_key(page), "position": ours})
        assert answer.headers["location"] == "/console/events/dead?done=retried"
        assert (await _outcome(service, ours), await _outcome(service, theirs)) == (None, "failed")
    async with signed_in(service) as admin:
        page = await admin.get("/console/events/dead")
        assert "&lt;b&gt;{" in page.text
        answer = await admin.post("/console/events/dead", data={"form": form_key(page), "entry": entry})
        assert answer.status_code == 303
        assert await redis.xrange(DEAD, entry, entry) == []
        await redis.delete(STREAM)
    await service.flush()
    async with service.client() as client:
        entries = data(await client.get("/v1/audit", params={"action": "inbox.retry"}))
    assert sorted((it["result"], it["count"]) for it in entries) == [
        ("missing_scope", 2),
        ("not_found", 5),
        ("ok", 1),
        ("ok", 1),
    ]


async def test_dead_letters_of_the_database_are_seen_while_redis_is_away(api_database_url: str) -> None:
    async with open_service(api_database_url, "redis://127.0.0.1:1/0") as service:
        await _a_failed_event(service, service.environment)
        async with signed_in(service) as http:
            page = await http.get("/console/events/dead")
            assert "VaultError" in page.text
            assert "Redis can't be had now" in page.text.replace("&#39;", "'")
            given = {"form": form_key(page), "entry": "1-1"}
            assert (await http.post("/console/events/dead", data=given)).status_code == 503


_SEEN = re.compile(r'name="seen" value="([0-9a-f]{64})"')


async def test_a_form_that_somebody_else_has_overtaken_takes_nothing_back(service: Service) -> None:
    url = {"options.token_url": "https://provider.example/token"}
    source_id = await service.source("https://provider.example/token")
    body = {"source_id": source_id, "metadata": {"plan": "solo"}}
    async with signed_in(service) as http, service.client() as admin:
        account_id = data(await admin.post("/v1/accounts", json=body), 201)["id"]
        webhook_id = data(await admin.post("/v1/webhooks", json={"url": "https://a.example/hook"}), 201)["id"]
        for path, sent, change in (
            (f"accounts/{account_id}", {"metadata": "plan=team"}, {"metadata": {"region": "eu"}}),
            (f"sources/{source_id}", {"name": "mine", "client_id": "client", **url}, {"scopes": ["write"]}),
            (f"webhooks/{webhook_id}", {"url": "https://b.example/hook"}, {"types": ["account.created"]}),
        ):
            page = await http.get(f"/console/{path}/edit")
            seen = _SEEN.search(page.text)
            assert seen is not None, path
            changed = data(await admin.patch(f"/v1/{path}", json=change))
            given = {"form": form_key(page), "seen": seen[1], **sent}
            answer = await http.post(f"/console/{path}/edit", data=given)
            assert answer.status_code == 409, path
            assert "Somebody else has changed this" in answer.text
            assert data(await admin.get(f"/v1/{path}")) == changed
            seen = _SEEN.search(answer.text)
            assert seen is not None
            answer = await http.post(f"/console/{path}/edit", data={**given, "seen": seen[1]})
            assert answer.status_code == 303, path


async def test_a_host_that_the_key_may_not_send_credentials_to_is_not_saved(service: Service) -> None:
    key = await service.key("accounts:read", "accounts:write", "sources:read")
    source = {"provider": "gitlab-pat", "name": "ours"}
    async with signed_in(service, key) as http, service.client() as admin:
        body = {
            "source_id": data(await admin.post("/v1/sources", json=source), 201)["id"],
            "credentials": {"api_key": "canary-key"},
        }
        account_id = data(await admin.post("/v1/accounts", json=body, params={"verify": "false"}), 201)["id"]
        page = await http.get(f"/console/accounts/{account_id}/edit")
        seen = _SEEN.search(page.text)
        assert seen is not None
        given = {"form": form_key(page), "seen": seen[1], "metadata": "plan=team"}
        moved = {**given, "properties": "hostname=collect.example.net"}
        answer = await http.post(f"/console/accounts/{account_id}/edit", data=moved)
        assert answer.status_code == 403
        assert "the scope credentials:read" in answer.text
        assert data(await admin.get(f"/v1/accounts/{account_id}"))["metadata"] == {}
        same = {**given, "properties": "hostname=gitlab.com"}
        assert (await http.post(f"/console/accounts/{account_id}/edit", data=same)).status_code == 303


async def test_what_no_line_can_tell_is_not_spoiled_by_a_form(service: Service) -> None:
    source_id = await service.source("https://provider.example/token", token_params={"a": " padded ", "b": "3"})
    url = {"options.token_url": "https://provider.example/token"}
    long = {"note": "first\nsecond", " spaced ": " x ", "a=b": "c"}
    body = {"source_id": source_id, "metadata": {**long, "plan": "solo", "region": "eu"}}
    async with signed_in(service) as http, service.client() as admin:
        account_id = data(await admin.post("/v1/accounts", json=body), 201)["id"]
        for path, sent in (
            (f"accounts/{account_id}", {"metadata": "plan=team"}),
            (f"sources/{source_id}", {"name": "mine", "client_id": "client", "options.token_params": "b=4", **url}),
        ):
            page = await http.get(f"/console/{path}/edit")
            seen = _SEEN.search(page.text)
            assert seen is not None
            given = {"form": form_key(page), "seen": seen[1], **sent}
            answer = await http.post(f"/console/{path}/edit", data=given)
            assert answer.status_code == 303, answer.text
        assert data(await admin.get(f"/v1/accounts/{account_id}"))["metadata"] == {**long, "plan": "team"}
        assert data(await admin.get(f"/v1/sources/{source_id}"))["options"]["token_params"] == {
            "a": " padded ",
            "b": "4",
        }


async def _a_source_of(service: Service, provider: str, options: dict[str, Any]) -> str:
    client = {} if provider == "freshdesk" else {"client_id": "client", "client_secret": "canary-client-secret"}
    body = {"provider": provider, "name": "ours", **client, "options": options}
    async with service.client() as admin:
        source_id = str(data(await admin.post("/v1/sources", json=body), 201)["id"])
    await service.sql("UPDATE sources SET proving = false WHERE environment = :it", it=service.environment)
    return source_id


async def _send_as_shown(http: httpx.AsyncClient, source_id: str, **changes: str) -> None:
    """The source's form as it is shown, with these fields changed. A double underscore stands for a dot."""
    path = f"/console/sources/{source_id}/edit"
    named = {name.replace("__", "."): text for name, text in changes.items()}
    shown = shown_form((await http.get(path)).text)
    assert named.keys() <= shown.keys()
    answer = await http.post(path, data={**shown, **named})
    assert answer.status_code == 303, answer.text


@pytest.mark.parametrize(
    ("provider", "options"),
    [
        ("strava", {"scope_separator": " "}),
        ("strava", {"authorize_params": {}}),
        ("xero", {"offline_scopes": []}),
        ("zendesk", {"token_params": {}}),
        ("zendesk", {"refresh_params": {}}),
        ("strava", {"token_headers": {}}),
        ("freshdesk", {"basic_password": ""}),
        ("freshdesk", {"basic_password": " ", "basic_username": " {username} "}),
        ("xero", {"offline_scopes": [" offline ", "more"], "token_params": {"a": " b ", "c": "d"}}),
        (
            "xero",
            {
                "pkce": "none",
                "authorization_response_iss_parameter_supported": False,
                "access_token_ttl_s": 60,
                "refresh_params": {"a": "b", "c": ""},
            },
        ),
    ],
    ids=lambda it: it if isinstance(it, str) else ",".join(it),
)
async def test_who_renames_a_source_changes_none_of_its_options(
    service: Service, provider: str, options: dict[str, Any]
) -> None:
    source_id = await _a_source_of(service, provider, options)
    read_version = "SELECT secret_version FROM sources WHERE environment = :it"
    former = await service.sql(read_version, it=service.environment)
    async with signed_in(service) as http, service.client() as admin:
        await _send_as_shown(http, source_id, name="mine")
        source = data(await admin.get(f"/v1/sources/{source_id}"))
    assert (source["name"], source["options"]) == ("mine", options)
    assert not source["proving"]
    assert await service.sql(read_version, it=service.environment) == former


async def test_an_option_whose_field_is_emptied_is_the_catalogue_s_again_and_the_others_stay(service: Service) -> None:
    options = {
        "scope_separator": " ",
        "offline_scopes": ["offline"],
        "authorize_params": {"a": "b"},
        "pkce": "none",
        "access_token_ttl_s": 60,
        "token_params": {},
        "refresh_params": {"c": "d"},
    }
    source_id = await _a_source_of(service, "strava", options)
    async with signed_in(service) as http, service.client() as admin:
        await _send_as_shown(
            http,
            source_id,
            options__scope_separator="",
            options__offline_scopes="",
            options__authorize_params="\r\n",
            options__pkce="",
            options__access_token_ttl_s=" ",
            options__refresh_params="c=e",
        )
        source = data(await admin.get(f"/v1/sources/{source_id}"))
    assert source["options"] == {"token_params": {}, "refresh_params": {"c": "e"}}
    assert source["proving"]


async def test_deliveries_are_told_as_they_went_and_are_sent_again_by_a_button(service: Service) -> None:
    hooks = Hooks(service)
    async with Receiver() as receiver, signed_in(service) as http, delivering(service):
        webhook_id, _ = await hooks.make(receiver.url, types=["account.created"])
        path = f"/console/webhooks/{webhook_id}"
        await service.account(await service.source("https://provider.example/token"))
        await hooks.until(webhook_id, state="delivered")
        page = await http.get(path, params={"state": "delivered"})
        assert "HTTP 204," in page.text
        [event] = receiver.received
        assert f'value="{event.id}"' in page.text
        given = {"form": form_key(page), "event_id": event.id}
        answer = await http.post(f"{path}/redeliver", data=given)
        assert answer.headers["location"] == f"{path}?done=redelivered", answer.text
        assert [it.id for it in await receiver.come(2)] == [event.id] * 2
        tried = await http.post(f"{path}/test", data={"form": form_key(page)})
        assert "It arrived" in tried.text
        assert len(receiver.received) == 3


async def test_who_signs_in_again_has_one_session(service: Service) -> None:
    async with signed_in(service) as http:
        former = http.cookies["tokenkeep_console"]
        assert (await enter(http, ADMIN_KEY, environment=service.environment)).status_code == 303
        assert http.cookies["tokenkeep_console"] != former
    async with a_browser(service) as thief:
        thief.cookies.set("tokenkeep_console", former)
        assert (await thief.get("/console")).status_code == 303


async def _tried(service: Service, outcome: str, reason: str | None, *, times: int, ago_s: int) -> None:
    """Tries of the environment's accounts that ended like this, one a second, the last one so long ago."""
    await service.sql(
        """INSERT INTO refresh_attempts (account_id, id, source_id, epoch, fence, presented_generation, trigger, correlation_id,
                                         secret_version, leased_at, settled_at, outcome, reason)
           SELECT id, gen_random_uuid(), source_id, 1, n, 1, 'schedule', 'cor_test', 1,
                  tried.at, tried.at, :outcome, :reason
             FROM accounts, generate_series(0, :times - 1) AS n,
                  LATERAL (SELECT clock_timestamp() - make_interval(secs => :ago_s + n) AS at) AS tried
            WHERE environment = :environment""",
        environment=service.environment,
        outcome=outcome,
        reason=reason,
        times=times,
        ago_s=ago_s,
    )


async def _paused(service: Service, reason: str) -> None:
    await service.sql(
        "UPDATE sources SET state = 'paused', paused_reason = :reason, paused_at = clock_timestamp() WHERE environment = :environment",
        environment=service.environment,
        reason=reason,
    )


async def _all_told(service: Service) -> None:
    await service.sql(
        "DELETE FROM outbox WHERE position IN (SELECT position FROM events WHERE environment = :environment)",
        environment=service.environment,
    )


def _runbooks(page: httpx.Response) -> set[str]:
    return set(re.findall(r"docs/runbooks/(\w+)\.md", page.text))


@pytest.mark.parametrize(
    ("paused", "tries", "runbooks"),
    [
        (None, [], {"TokenkeepTokensExpired"}),
        ("mass_revocation", [], {"TokenkeepSourcePaused"}),
        ("mass_revocation", [("failed", "timeout", 9, 0)], {"TokenkeepSourcePaused"}),
        ("by_operator", [], set()),
        (None, [("failed", "provider_5xx", 3, 0)], {"TokenkeepEndpointDown"}),
        (None, [("ok", None, 50, 10), ("in_doubt", "timeout", 3, 0)], {"TokenkeepEndpointDown"}),
        (None, [("not_sent", "network_error", 3, 0)], {"TokenkeepEndpointDown"}),
        (None, [("failed", "provider_5xx", 2, 0)], {"TokenkeepTokensExpired"}),
        (None, [("failed", "provider_5xx", 9, 10), ("refused", "invalid_grant", 1, 0)], {"TokenkeepTokensExpired"}),
        (None, [("in_doubt", None, 9, 0)], {"TokenkeepTokensExpired"}),
        (None, [("failed", "timeout", 9, 700)], {"TokenkeepTokensExpired"}),
    ],
    ids=[
        "nobody knows why",
        "its source has paused itself",
        "its source has paused itself, and was tried in vain",
        "an operator has paused its source",
        "its endpoint fails",
        "its endpoint fails all at once",
        "nobody can connect to its endpoint",
        "two failures",
        "its endpoint answers again",
        "a worker died",
        "it failed a while ago",
    ],
)
async def test_the_overview_names_the_runbook_of_the_alert_that_is_right_for_an_expired_token(
    service: Service, paused: str | None, tries: list[tuple[str, str | None, int, int]], runbooks: set[str]
) -> None:
    source_id = await service.source("https://provider.example/token")
    await service.account(source_id)
    await service.sql(
        """UPDATE credentials SET expires_at = now() - interval '1 minute'
            WHERE account_id IN (SELECT id FROM accounts WHERE environment = :environment)""",
        environment=service.environment,
    )
    await service.sql(
        """UPDATE leases SET next_refresh_at = now() - interval '3 minutes'
            WHERE account_id IN (SELECT id FROM accounts WHERE environment = :environment)""",
        environment=service.environment,
    )
    if paused is not None:
        await _paused(service, paused)
    for outcome, reason, times, ago_s in tries:
        await _tried(service, outcome, reason, times=times, ago_s=ago_s)
    await _all_told(service)
    async with signed_in(service) as http:
        page = await http.get("/console")
        assert 'data-value="expired" class="wrong"' in page.text
        assert _runbooks(page) == runbooks
        assert ("looks down" in page.text) == ("TokenkeepEndpointDown" in runbooks)
        of_source = await http.get(f"/console/sources/{source_id}")
        assert _runbooks(of_source) == runbooks - {"TokenkeepTokensExpired"}
        assert ("looks down" in of_source.text) == ("looks down" in page.text)


async def test_the_overview_tells_that_events_wait_for_redis_to_those_whose_events_they_are(service: Service) -> None:
    await service.account(await service.source("https://provider.example/token"))
    await service.sql(
        "UPDATE events SET time = now() - interval '3 minutes' WHERE environment = :environment",
        environment=service.environment,
    )
    async with signed_in(service) as http:
        page = await http.get("/console")
    assert _runbooks(page) == {"TokenkeepOutboxLag"}
    assert "events that Redis has not got, the oldest for 3 min" in page.text
    [waiting] = re.findall(r'data-value="untold" class="wrong">(\d+)<', page.text)
    [counted] = await service.sql(
        "SELECT count(*) AS events FROM outbox JOIN events USING (position) WHERE environment = :environment",
        environment=service.environment,
    )
    assert int(waiting) == counted["events"] > 0
    key = await service.key("accounts:read", environment=f"{service.environment}-other")
    async with signed_in(service, key) as http:
        assert _runbooks(await http.get("/console")) == set()


async def test_what_was_told_a_moment_ago_is_no_trouble(service: Service) -> None:
    await service.account(await service.source("https://provider.example/token"))
    await service.sql(
        "UPDATE events SET time = now() + interval '1 minute' WHERE environment = :environment",
        environment=service.environment,
    )
    async with signed_in(service) as http:
        page = await http.get("/console")
    assert _runbooks(page) == set()
    assert 'data-value="untold"' not in page.text
