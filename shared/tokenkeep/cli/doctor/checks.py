"""The checks, each with the parts that it takes."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from tokenkeep.adapters.host_facts import aside, read_open_files, read_spool_facts
from tokenkeep.application.checkup.findings import Check, Finding, fault, ok, unseen
from tokenkeep.application.checkup.machine import judge_open_files, judge_spool
from tokenkeep.application.checkup.wishes import Wishes, judge_wishes
from tokenkeep.cli.doctor.stores import Stores
from tokenkeep.cli.installation import installation_of
from tokenkeep.domain.errors import SettingsError, TokenkeepError
from tokenkeep.secret_files import names_in
from tokenkeep.settings import Settings, misspelt_variables, read_settings, unknown_variables

CHECK_DEADLINE_S: Final = 15.0
_API_DEADLINE_S: Final = 5.0
_MOST_ANSWER_BYTES: Final = 4_096
_KEPT_BACK: Final = {401, 403, 404}


def all_checks(*, ask_api: bool) -> Mapping[str, Check]:
    """What is looked at, by name. With settings that can't be read, nothing but these."""
    try:
        settings = read_settings()
    except SettingsError as error:
        return {"settings": partial(_unreadable, str(error))}
    stores = Stores(installation_of(settings))
    checks: dict[str, Check] = {
        "settings": partial(_settings, settings),
        "providers": partial(_providers, settings),
        "host": _host,
        "spool": partial(_spool, settings),
        "postgres": stores.postgres,
        "redis": stores.redis,
        "keyring": stores.keyring,
    }
    if ask_api:
        checks["api"] = partial(_api, settings)
    return checks


async def _unreadable(line: str) -> Sequence[Finding]:
    return [fault("settings.values", line, "correct it; nothing else was looked at, and no process starts with it")]


async def _settings(settings: Settings) -> Sequence[Finding]:
    names = [*os.environ, *(() if settings.secrets_dir is None else names_in(settings.secrets_dir))]
    key = None if settings.admin_key is None else settings.admin_key.reveal()
    wishes = Wishes(
        misspelt=misspelt_variables(names),
        unknown=unknown_variables(names),
        public_url=settings.public_url,
        api_host=settings.api_host,
        admin_key_length=None if key is None else len(key),
        admin_key_letters=len(set(key or "")),
        custody_hold=settings.custody_hold,
        failpoints=settings.failpoints is not None,
        private_hosts=settings.allow_private_hosts,
        log_level=settings.log_level,
    )
    return [ok("settings.values", "every value can be read, and they fit together"), *judge_wishes(wishes)]


async def _providers(settings: Settings) -> Sequence[Finding]:
    return await asyncio.to_thread(_read_providers, settings)


def _read_providers(settings: Settings) -> Sequence[Finding]:
    from tokenkeep.adapters.provider_packages import installed_packages  # noqa: PLC0415  # it reads what is installed
    from tokenkeep.providers.catalogue import load_catalogue  # noqa: PLC0415  # as above

    check = "providers.files"
    try:
        catalogue = load_catalogue(settings.providers_dir, installed_packages())
    except TokenkeepError as error:
        return [fault(check, str(error), "correct the file; `tokenkeep providers check FILE` says the same")]
    own = "" if settings.providers_dir is None else f", with those of {settings.providers_dir}"
    return [ok(check, f"{len(catalogue.providers)} providers{own}")]


async def _host() -> Sequence[Finding]:
    return [judge_open_files(read_open_files())]


async def _spool(settings: Settings) -> Sequence[Finding]:
    return list(judge_spool(await aside(partial(read_spool_facts, settings.spool_path))))


async def _api(settings: Settings) -> Sequence[Finding]:
    import httpx  # noqa: PLC0415  # only where it is asked

    check, url = "api.ready", settings.external_url
    try:
        async with (
            asyncio.timeout(_API_DEADLINE_S),
            httpx.AsyncClient() as client,
            client.stream("GET", f"{url}/readyz") as answer,
        ):
            text = b""
            async for piece in answer.aiter_bytes():
                text = (text + piece)[:_MOST_ANSWER_BYTES]
                if len(text) == _MOST_ANSWER_BYTES:
                    break
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        return [
            fault(
                check,
                f"{url} does not answer ({type(error).__name__})",
                "see that an API process runs, and what leads there: TOKENKEEP_PUBLIC_URL, DNS, the proxy, its certificate",
            )
        ]
    if answer.status_code == httpx.codes.OK and b'"ready"' in text:
        return [ok(check, f"{url} is ready")]
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return [
            fault(
                check,
                f"{url} says that it is not ready",
                "the lines about PostgreSQL say why, or look into its log for readiness_check_failed",
            )
        ]
    if answer.status_code in _KEPT_BACK:
        return [
            unseen(check, f"{url} answers {answer.status_code} on /readyz, which a proxy in front may keep to itself")
        ]
    return [
        fault(
            check,
            f"{url} answers {answer.status_code} on /readyz, and not as this API does",
            "see what leads there: TOKENKEEP_PUBLIC_URL, the proxy and its paths",
        )
    ]
