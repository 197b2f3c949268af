"""What the environment says: every `TOKENKEEP_*` variable, checked once at the start of a process.

This is the one module that reads the environment; in a variable's place a file may say it (`secret_files`). A wrong value ends
the process with one line that names the variable and says what it must be; the value itself is never quoted, for it may be a
secret.
"""

import difflib
import logging
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret
from tokenkeep.secret_files import SECRETS_DIR, SecretFiles, names_in
from tokenkeep.setting_values import (
    Batch,
    Count,
    DatabaseUrl,
    LogFormat,
    LogLevel,
    Port,
    Rate,
    RedisUrl,
    Seconds,
    SecretText,
    base_url,
    directory,
    expanded_path,
    host_list,
    key_services,
    network_list,
    redacted_url,
    span_or_none,
    store_kind,
    store_kinds,
    whole_number,
    yes_or_no,
)

__all__ = [
    "PREFIX",
    "Settings",
    "child_environment",
    "load_settings",
    "misspelt_variables",
    "read_settings",
    "redacted_url",
    "require_database",
    "require_redis",
    "trace_exporters",
    "unknown_variables",
]

PREFIX = "TOKENKEEP_"

_log = logging.getLogger(__name__)


def _format_for_this_output() -> LogFormat:
    return "console" if sys.stdout.isatty() else "json"


class Settings(BaseSettings):
    """The settings of one process. Names are those of the variables, without the prefix; `_s` means seconds.

    What stands under a field is what docs/reference/settings.md says of it (`make reference`).
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    secrets_dir: Annotated[Path, AfterValidator(directory)] | None = None
    """Files named like variables (`tokenkeep_database_url`), each in the place of one that is not set (docs/how-to/deploy.md)."""

    database_url: DatabaseUrl | None = None
    """The PostgreSQL that remembers everything. Only `tokenkeep up` and `tokenkeep demo` do without it: they start one of their own."""

    redis_url: RedisUrl | None = None
    """The Redis or Valkey that carries hints, locks and the streams; nothing is lost with it. `up` and `demo` start one of their own, at a `unix://` address."""

    keyring: SecretText | None = None
    """The keyring itself, as `tokenkeep keys generate` prints it: the keys under which all credentials are sealed. Not together with `TOKENKEEP_KEYRING_FILE`."""

    keyring_file: Annotated[Path, AfterValidator(expanded_path)] | None = None
    """The file that holds the keyring, closed to everybody but its owner. A change of it is seen within a second or so, without a restart."""

    keyring_kms: Annotated[tuple[str, ...], NoDecode, BeforeValidator(key_services)] = ()
    """The keys of key services that have encrypted the keyring's keys, separated by commas; the first encrypts new ones
    (docs/how-to/keep-keys-in-a-kms.md)."""

    data_dir: Annotated[Path, AfterValidator(expanded_path)] = Path(".tokenkeep")
    """Where `up` keeps its servers' data, the keyring and the admin key, and where the spool of a worker is unless it has a place of its own."""

    providers_dir: Annotated[Path, AfterValidator(directory)] | None = None
    """A directory with provider files of your own (docs/how-to/add-a-provider.md). It is read once, at the start. API and workers must see the same."""

    spool_dir: Annotated[Path, AfterValidator(expanded_path)] | None = None
    """Where a worker keeps token sets that the database can't take yet; `spool` in the data directory if it is not set. Put it on a disk that outlives the process."""

    credential_store: Annotated[str, AfterValidator(store_kind)] = "postgres"
    """Where accounts' sealed credentials lie: `postgres`, `directory:/path`, `vault+https://host:8200/mount/path`, or an
    installed store's name with what it wants (docs/how-to/store-credentials-elsewhere.md). API and workers must agree."""

    former_credential_stores: Annotated[tuple[str, ...], NoDecode, BeforeValidator(store_kinds)] = ()
    """Stores that credentials still lie in, separated by commas: they are read, and what lies there is moved."""

    vault_token: SecretText | None = None
    """A token for HashiCorp Vault, where credentials lie there. In its place an AppRole will do."""

    vault_role_id: SecretText | None = None
    """The first half of an AppRole for HashiCorp Vault."""

    vault_secret_id: SecretText | None = None
    """The second half of the AppRole."""

    api_host: str = "127.0.0.1"
    """The address at which the API listens, and schedulers and workers with their metrics. `0.0.0.0` is every IPv4 address of the machine."""

    api_port: Port = 8080
    """The port at which the API listens; 0 takes a free one. It serves the API's metrics too."""

    api_drain_delay_s: Annotated[float, BeforeValidator(span_or_none)] = 5.0
    """How long an API that is told to end says that it is not ready, and goes on serving, before it takes no more connections: the time
    in which whatever sends it requests is to notice. `up` takes 0."""

    public_url: Annotated[str, BeforeValidator(base_url)] | None = None
    """Where the world finds the API: links for end users lead there, from whichever process makes them, and providers send users back to it. This machine if it is not set."""

    admin_key: SecretText | None = None
    """A key that may do everything in every environment: choose 32 random characters or more. `up` makes one if it is not set. Make API keys with it, and use those."""

    metrics_port: Port = 9464
    """The port at which schedulers and workers serve `/metrics`, `/healthz` and `/readyz`; the next free one if it is taken. Each says at its start which it is."""

    log_level: LogLevel = "info"
    """How much is logged."""

    log_format: LogFormat = Field(default_factory=_format_for_this_output)
    """One JSON object a line, or lines for people. If it is not set: for people at a terminal, JSON anywhere else."""

    log_refreshes_per_s: Rate = 50
    """How many refreshes that succeed a worker tells by a line for each, every second in the long run; the others share a line for their batch."""

    allow_private_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(host_list)] = ()
    """Hosts and networks that providers, webhooks and refresh hooks may be at although they are not public. All others are refused, so that no source can make us call your own network."""

    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(network_list)] = ()
    """The proxies in front of the API whose X-Forwarded-For is believed."""

    rate_limit_per_s: Rate = 5_000
    """How many requests a second an API key may make at each API process, in the long run; 0 limits nobody."""

    rate_limit_burst: Annotated[int, BeforeValidator(whole_number(1, 1_000_000))] = 10_000
    """How many of them at once."""

    audit_days: Annotated[int, BeforeValidator(whole_number(0, 36_500))] = 365
    """For how many days the audit trail is kept; 0 is for ever."""

    history_days: Annotated[int, BeforeValidator(whole_number(7, 36_500))] = 30
    """For how many days events, attempts and what was delivered to webhooks are kept. A week at least: webhooks are tried for days."""

    stream_max_entries: Annotated[int, BeforeValidator(whole_number(1_000, 100_000_000))] = 1_000_000
    """How many entries of the stream `tokenkeep:events` Redis holds at most, about 1 KB each, whoever has not read them."""

    webhook_deadline_s: Seconds = 15.0
    """How long a delivery to a webhook may take, from the look-up of its name to the last byte of the answer."""

    provider_deadline_s: Seconds = 20.0
    """How long a call to a provider may take in all. Less than the lease."""

    write_ahead_s: Seconds = 2.0
    """How old the note that a token is about to be sent may be when it is sent; after that nothing is."""

    lease_s: Seconds = 30.0
    """For how long a worker holds an account for one refresh. More than the provider's deadline, less than the actor's time."""

    quarantine_s: Seconds = 120.0
    """How long a token whose answer was lost is left alone, before it may be presented again. More than the write-ahead and the provider's deadline together."""

    actor_time_limit_s: Seconds = 600.0
    """After how long a message that a worker is busy with is given up. More than the lease."""

    tick_interval_s: Seconds = 1.0
    """How often a scheduler looks for accounts that are due."""

    sweep_interval_s: Seconds = 5.0
    """How often a scheduler looks for leases whose holder is silent, and for accounts that have run out."""

    dispatch_timeout_s: Seconds = 60.0
    """How long a hint on the queue is trusted before the scheduler gives it again."""

    custody_hold: Annotated[bool, BeforeValidator(yes_or_no)] = False
    """Workers take nobody into custody: for a start after a restore, until an operator has looked."""

    failpoints: str | None = None
    """Faults on purpose, for tests (`adapters.failpoints`). What it says is read when a worker or scheduler is wired."""

    claim_batch: Batch = 1000
    """How many due accounts a scheduler claims by one statement."""

    message_batch: Batch = 50
    """How many accounts of one source go into one message to the workers."""

    worker_threads: Count = 16
    """How many messages a worker has in hand at once. Times the accounts of a message, it bounds how many refreshes are in flight."""

    database_pool_size: Count = 10
    """How many connections to PostgreSQL a process has at most, besides the few that listen."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no file of variables is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours keeps the keyring a file
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where settings come from, the first one first."""
        return init_settings, env_settings, SecretFiles(settings_cls)

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        """A lease outlives the call made under it, and a quarantine outlives the longest possible presentation."""
        if self.provider_deadline_s >= self.lease_s:
            msg = f"{PREFIX}PROVIDER_DEADLINE_S: must be less than {PREFIX}LEASE_S ({self.lease_s:g})"
            raise ValueError(msg)
        if self.lease_s >= self.actor_time_limit_s:
            msg = f"{PREFIX}LEASE_S: must be less than {PREFIX}ACTOR_TIME_LIMIT_S ({self.actor_time_limit_s:g})"
            raise ValueError(msg)
        longest = self.write_ahead_s + self.provider_deadline_s
        if longest >= self.quarantine_s:
            msg = (
                f"{PREFIX}QUARANTINE_S: must be more than {PREFIX}WRITE_AHEAD_S and {PREFIX}PROVIDER_DEADLINE_S "
                f"together ({longest:g})"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_keyring(self) -> Self:
        if self.keyring is not None and self.keyring_file is not None:
            msg = f"{PREFIX}KEYRING: must not be set together with {PREFIX}KEYRING_FILE"
            raise ValueError(msg)
        return self

    @property
    def spool_path(self) -> Path:
        """The directory of the spool. It must outlive the process: a lasting disk, for a worker in a container."""
        return self.spool_dir or self.data_dir / "spool"

    @property
    def ends_within_s(self) -> float:
        """How long any process may take to end once it is told to, in seconds (docs/how-to/upgrade.md): to kill one before may lose an answer."""
        worker_s = 2 * (self.lease_s / 3 + self.write_ahead_s + self.provider_deadline_s) + 30
        return max(worker_s, self.api_drain_delay_s + 40)

    @property
    def external_url(self) -> str:
        """Where users reach the API: `public_url`, or this machine's address if none is set. No slash at its end."""
        if self.public_url is not None:
            return self.public_url
        host = f"[{self.api_host}]" if ":" in self.api_host else self.api_host
        return f"http://{host}:{self.api_port}"


def trace_exporters(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """By what OpenTelemetry's own variables want traces exported; nothing if none are wanted. The process's environment, if none is given.

    The names are those of the entry points that its packages bring.
    By its specification traces go to this machine unless somebody says otherwise; here somebody has to name an exporter or an
    endpoint first. All other variables are read by its own library.
    """
    said = {name: value.strip() for name, value in (os.environ if environment is None else environment).items()}
    named = said.get("OTEL_TRACES_EXPORTER", "")
    placed = said.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or said.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if said.get("OTEL_SDK_DISABLED", "").lower() == "true" or not (named or placed):
        return ()
    protocol = said.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or said.get("OTEL_EXPORTER_OTLP_PROTOCOL") or ""
    otlp = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    exporters = [name.strip() for name in (named or "otlp").split(",")]
    return tuple(otlp if name == "otlp" else name for name in exporters if name not in ("", "none"))


def load_settings() -> Settings:
    """The settings of this process, read from the environment and the files that it names. A misspelt one is warned of in the log.

    Raises:
        SettingsError: A variable is wrong, or a file can't be read. One line, the first thing wrong only.
    """
    _warn_of(os.environ)
    settings = read_settings()
    if settings.secrets_dir is not None:
        _warn_of(names_in(settings.secrets_dir))
    return settings


def read_settings() -> Settings:
    """As `load_settings`, but nothing is said of misspelt variables.

    Raises:
        SettingsError: As there.
    """
    try:
        return Settings()
    except ValidationError as error:
        line = _first_line(error.errors(include_url=False, include_input=False)[0])
    raise SettingsError(line)


def require_database(settings: Settings) -> Secret:
    """The URL of the database.

    Raises:
        SettingsError: It is not set. Only `up` and `demo` can do without it.
    """
    if settings.database_url is None:
        msg = f"{PREFIX}DATABASE_URL: must be set, such as postgresql://user:password@host/tokenkeep"
        raise SettingsError(msg)
    return settings.database_url


def require_redis(settings: Settings) -> Secret:
    """The URL of Redis or Valkey.

    Raises:
        SettingsError: It is not set. Only `up` and `demo` can do without it.
    """
    if settings.redis_url is None:
        msg = f"{PREFIX}REDIS_URL: must be set, such as redis://host:6379/0"
        raise SettingsError(msg)
    return settings.redis_url


def child_environment(settings: Settings, *, without: Iterable[str] = ()) -> dict[str, str]:
    """The environment for a child process that is to have these settings, but for some fields that it must not see.

    All that is not ours is passed on as it is. Secrets are in it in the clear: it goes to a child and nowhere else. What lay in
    files is among them, but not where: there the child would find what it must not see.
    """
    hidden = {SECRETS_DIR, *without}
    ours = {name: getattr(settings, name) for name in Settings.model_fields if name not in hidden}
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    environment |= {f"{PREFIX}{name.upper()}": _as_text(value) for name, value in ours.items() if value is not None}
    return environment


def misspelt_variables(names: Collection[str]) -> tuple[str, ...]:
    """A line for each variable that is none of ours but looks like one of ours."""
    known = [f"{PREFIX}{field.upper()}" for field in Settings.model_fields]
    lines: list[str] = []
    for name in sorted(names):
        if not name.upper().startswith(PREFIX) or name.upper() in known:
            continue
        nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.85)
        if nearest:
            lines.append(f"{name}: there is no such setting; did you mean {nearest[0]}?")
    return tuple(lines)


def _warn_of(names: Collection[str]) -> None:
    for line in misspelt_variables(names):
        _log.warning(line)


def unknown_variables(names: Collection[str]) -> tuple[str, ...]:
    """A line for each variable with our prefix that is none of ours, and not misspelt either."""
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    misspelt = {line.partition(":")[0] for line in misspelt_variables(names)}
    ours = (name for name in sorted(names) if name.upper().startswith(PREFIX) and name.upper() not in known)
    return tuple(f"{name}: there is no such setting" for name in ours if name not in misspelt)


def _as_text(value: object) -> str:
    match value:
        case Secret():
            return value.reveal()
        case tuple():
            return ",".join(str(entry) for entry in value)
        case _:
            return str(value)


def _first_line(error: ErrorDetails) -> str:
    """One line from pydantic's account of an error. The messages are ours wherever a value can be wrong."""
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return message
    return f"{PREFIX}{str(error['loc'][0]).upper()}: {message}"
