from pathlib import Path

import pytest

from tokenkeep.cli.demo import demo_settings, welcome
from tokenkeep.settings import Settings


def test_the_demo_shares_nothing_with_an_installation_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATA_DIR": "/data",
        "DATABASE_URL": "postgresql://user:password@db/production",
        "REDIS_URL": "redis://cache/0",
        "KEYRING_FILE": "/data/keyring",
        "ADMIN_KEY": "tk_production",
        "PUBLIC_URL": "https://tokens.example",
        "ALLOW_PRIVATE_HOSTS": "10.0.0.0/8",
    }.items():
        monkeypatch.setenv(f"TOKENKEEP_{name}", value)

    settings = demo_settings(Settings())

    assert settings.data_dir == Path("/data/demo")
    assert settings.allow_private_hosts == ("127.0.0.1/32", "localhost")
    assert settings.api_port == 0
    for name in ("database_url", "redis_url", "keyring", "keyring_file", "admin_key", "public_url"):
        assert getattr(settings, name) is None, name


def test_a_port_and_a_log_level_that_were_asked_for_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo_settings(Settings()).log_level == "error"
    monkeypatch.setenv("TOKENKEEP_API_PORT", "8080")
    monkeypatch.setenv("TOKENKEEP_LOG_LEVEL", "info")

    settings = demo_settings(Settings())

    assert (settings.api_port, settings.log_level) == (8080, "info")


def test_before_the_show_it_says_where_the_key_is_and_what_to_try() -> None:
    text = welcome(demo_settings(Settings()), "http://127.0.0.1:4711", Path("/my data/demo/admin.key"))

    assert "http://127.0.0.1:4711\n" in text
    assert "admin key  /my data/demo/admin.key\n" in text
    assert (
        "curl -s -H \"Authorization: Bearer $(cat '/my data/demo/admin.key')\" "
        '-H "X-Tokenkeep-Environment: demo" http://127.0.0.1:4711/v1/accounts\n'
    ) in text
