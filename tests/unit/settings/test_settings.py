from pathlib import Path

import pytest

from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import (
    Settings,
    child_environment,
    load_settings,
    misspelt_variables,
    redacted_url,
    require_database,
    require_redis,
)


def test_nothing_has_to_be_set() -> None:
    settings = load_settings()

    assert settings.api_port == 8080
    assert settings.metrics_port == 9464
    assert settings.data_dir == Path(".tokenkeep")
    assert settings.provider_deadline_s < settings.lease_s < settings.actor_time_limit_s
    assert settings.external_url == "http://127.0.0.1:8080"


def test_a_process_may_take_as_long_to_end_as_the_slowest_does() -> None:
    settings = Settings()

    assert settings.ends_within_s == 94  # a worker's, as docs/how-to/upgrade.md has it
    assert settings.model_copy(update={"api_drain_delay_s": 60.0}).ends_within_s == 100


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("API_PORT", "70000", "TOKENKEEP_API_PORT: must be a whole number from 0 to 65535"),
        ("API_PORT", "-1", "TOKENKEEP_API_PORT: must be a whole number from 0 to 65535"),
        ("API_PORT", "8_0", "TOKENKEEP_API_PORT: must be a whole number from 0 to 65535"),
        ("METRICS_PORT", "high", "TOKENKEEP_METRICS_PORT: must be a whole number from 0 to 65535"),
        ("CLAIM_BATCH", "0", "TOKENKEEP_CLAIM_BATCH: must be a whole number from 1 to 10000"),
        ("WORKER_THREADS", "2.5", "TOKENKEEP_WORKER_THREADS: must be a whole number from 1 to 1000"),
        ("LEASE_S", "nan", "TOKENKEEP_LEASE_S: must be a number of seconds above 0 and at most 86400"),
        ("LEASE_S", "0", "TOKENKEEP_LEASE_S: must be a number of seconds above 0 and at most 86400"),
        ("LEASE_S", "20", "TOKENKEEP_PROVIDER_DEADLINE_S: must be less than TOKENKEEP_LEASE_S (20)"),
        ("LEASE_S", "600", "TOKENKEEP_LEASE_S: must be less than TOKENKEEP_ACTOR_TIME_LIMIT_S (600)"),
        (
            "QUARANTINE_S",
            "22",
            (
                "TOKENKEEP_QUARANTINE_S: must be more than TOKENKEEP_WRITE_AHEAD_S and TOKENKEEP_PROVIDER_DEADLINE_S "
                "together (22)"
            ),
        ),
        ("HISTORY_DAYS", "6", "TOKENKEEP_HISTORY_DAYS: must be a whole number from 7 to 36500"),
        ("AUDIT_DAYS", "-1", "TOKENKEEP_AUDIT_DAYS: must be a whole number from 0 to 36500"),
        ("RATE_LIMIT_PER_S", "-1", "TOKENKEEP_RATE_LIMIT_PER_S: must be a whole number from 0 to 1000000"),
        ("RATE_LIMIT_BURST", "0", "TOKENKEEP_RATE_LIMIT_BURST: must be a whole number from 1 to 1000000"),
        (
            "TRUSTED_PROXIES",
            "10.0.0.0/8,proxy.internal",
            "TOKENKEEP_TRUSTED_PROXIES: must be IP addresses or CIDRs such as 10.0.0.0/8, separated by commas",
        ),
        ("LOG_FORMAT", "xml", "TOKENKEEP_LOG_FORMAT: must be one of json, console"),
        (
            "CREDENTIAL_STORE",
            "hush",
            (
                "TOKENKEEP_CREDENTIAL_STORE: must be postgres, directory:/path, vault+https://host:8200/mount/path, "
                "or KIND:REST of an installed store"
            ),
        ),
        (
            "FORMER_CREDENTIAL_STORES",
            "directory:/a,hush",
            (
                "TOKENKEEP_FORMER_CREDENTIAL_STORES: must be postgres, directory:/path, "
                "vault+https://host:8200/mount/path, or KIND:REST of an installed store"
            ),
        ),
        ("LOG_LEVEL", "loud", "TOKENKEEP_LOG_LEVEL: must be one of debug, info, warning, error, critical"),
        (
            "DATABASE_URL",
            "mysql://u:hush@h/d",
            "TOKENKEEP_DATABASE_URL: must be a URL that begins with postgresql:// or postgres://",
        ),
        (
            "REDIS_URL",
            "hush",
            "TOKENKEEP_REDIS_URL: must be a URL that begins with redis:// or rediss:// or unix:// or redis+sentinel://",
        ),
        ("PUBLIC_URL", "example.com", "TOKENKEEP_PUBLIC_URL: must be a URL such as https://tokenkeep.example.com"),
        ("PUBLIC_URL", "https://u:p@h", "TOKENKEEP_PUBLIC_URL: must be a URL such as https://tokenkeep.example.com"),
        (
            "ALLOW_PRIVATE_HOSTS",
            "10.0.0.0/99",
            (
                "TOKENKEEP_ALLOW_PRIVATE_HOSTS: must be hosts, IP addresses or CIDRs such as 10.0.0.0/8, "
                "separated by commas"
            ),
        ),
        ("PROVIDERS_DIR", "/nowhere/at/all", "TOKENKEEP_PROVIDERS_DIR: must be a directory that exists"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str
) -> None:
    monkeypatch.setenv(f"TOKENKEEP_{variable}", value)

    with pytest.raises(SettingsError) as raised:
        load_settings()

    assert str(raised.value) == line
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_a_keyring_and_a_keyring_file_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENKEEP_KEYRING", "k1:hush")
    monkeypatch.setenv("TOKENKEEP_KEYRING_FILE", "keyring")

    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING: must not be set together") as raised:
        load_settings()

    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("text", ["localhost, 10.0.0.0/8 ,::1", "localhost,10.0.0.0/8,::1,"])
def test_private_hosts_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TOKENKEEP_ALLOW_PRIVATE_HOSTS", text)

    assert load_settings().allow_private_hosts == ("localhost", "10.0.0.0/8", "::1")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ADMIN_KEY", "tk_hush"),
        ("KEYRING", "k1:hush"),
        ("DATABASE_URL", "postgres://u:hush@h/d"),
        ("REDIS_URL", "redis+sentinel://:hush@one:26379,two:26379/main/0"),
    ],
)
def test_secrets_do_not_show_in_the_settings(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(f"TOKENKEEP_{variable}", value)

    settings = load_settings()

    assert getattr(settings, variable.lower()).reveal() == value
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hush@h:5432/d?sslmode=require", "postgresql://u:***@h:5432/d?sslmode=require"),
        ("postgresql://u@/d?host=/var/run", "postgresql://u@/d?host=/var/run"),
        ("postgresql://h/d?password=hush&user=u", "postgresql://h/d?password=***&user=u"),
        ("redis+sentinel://:hush@one:26379,two:26379/main/0", "redis+sentinel://:***@one:26379,two:26379/main/0"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("hush", "***"),
    ],
)
def test_a_redacted_url_shows_no_password(url: str, shown: str) -> None:
    assert redacted_url(Secret(url)) == shown


def test_processes_that_need_a_server_say_which_variable_is_missing() -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_DATABASE_URL: must be set"):
        require_database(Settings())
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_REDIS_URL: must be set"):
        require_redis(Settings())


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENKEEP_DATABASE_URL", "")

    assert load_settings().database_url is None


def test_a_misspelt_variable_is_warned_of_and_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TOKENKEEP_DATABSE_URL", "postgresql://u:hush@h/d")

    load_settings()

    assert caplog.messages == ["TOKENKEEP_DATABSE_URL: there is no such setting; did you mean TOKENKEEP_DATABASE_URL?"]


def test_other_variables_are_nobody_s_business() -> None:
    assert misspelt_variables(["PATH", "TOKENKEEP_API_PORT", "TOKENKEEP_DEPLOYED_BY_TEAM"]) == ()


def test_a_child_gets_the_same_settings_but_for_what_it_must_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        database_url=Secret("postgresql://h/d"),
        admin_key=Secret("tk_hush"),
        allow_private_hosts=("localhost", "10.0.0.0/8"),
        provider_deadline_s=5,
        log_format="console",
    )

    environment = child_environment(settings, without=["admin_key"])

    assert "tk_hush" not in environment.values()
    assert environment["PATH"]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings.model_copy(update={"admin_key": None})
