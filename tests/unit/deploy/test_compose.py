"""compose.yaml, by the schema of the Compose specification and by what it promises."""

from typing import Any

import pytest

from deployment import PROCESSES, ROOT, compose, need_checker, said_by

SERVICES = sorted(compose()["services"])
OURS = ("migrate", *PROCESSES)


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


def test_it_is_what_the_compose_specification_says() -> None:
    checker = need_checker("check_jsonschema", "check-jsonschema")
    assert said_by(checker, "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml") == ""


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_closed(name: str) -> None:
    it = service(name)
    assert it["read_only"] is True
    assert it["cap_drop"] == ["ALL"]
    assert it["security_opt"] == ["no-new-privileges:true"]
    assert name in OURS or it["user"].split(":")[0] != "0"
    assert not it.keys() & {"privileged", "cap_add", "network_mode", "pid"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_of_a_version_and_every_file_is_here(name: str) -> None:
    it = service(name)
    assert any(digit.isdigit() for digit in it["image"].rpartition(":")[2])
    assert "latest" not in it["image"]
    for volume in it.get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source[0] == "." else source in compose()["volumes"], volume


@pytest.mark.parametrize("name", SERVICES)
def test_it_is_said_of_every_service_how_its_health_is_known(name: str) -> None:
    image_has_one = name in OURS
    assert image_has_one or service(name)["healthcheck"]["test"][0] == "CMD"


def test_no_environment_holds_a_secret_and_each_process_is_given_those_that_it_needs() -> None:
    given = {name: set(service(name).get("secrets", [])) for name in SERVICES}
    stores = {"tokenkeep_database_url", "tokenkeep_redis_url"}
    assert given["migrate"] == {"tokenkeep_database_url"}
    assert given["scheduler"] == stores
    assert given["worker"] == stores | {"tokenkeep_keyring"}
    assert given["api"] == stores | {"tokenkeep_keyring", "tokenkeep_admin_key"}
    for name in SERVICES:
        for variable, value in service(name).get("environment", {}).items():
            word = variable.upper()
            is_secret = any(part in word for part in ("PASSWORD", "SECRET", "_KEY", "DATABASE_URL", "REDIS_URL"))
            names_a_key = word == "TOKENKEEP_KEYRING_KMS"
            assert not is_secret or names_a_key or str(value).startswith("/run/secrets"), f"{name}: {variable}"


def test_what_pages_have_operators_write_into_dot_env_reaches_every_process() -> None:
    for name in OURS:
        for setting in ("PUBLIC_URL", "CUSTODY_HOLD", "KEYRING_KMS", "HISTORY_DAYS", "ALLOW_PRIVATE_HOSTS"):
            variable = f"TOKENKEEP_{setting}"
            assert service(name)["environment"][variable].startswith(f"${{{variable}:"), variable


def test_only_who_must_reaches_the_outside_and_nothing_listens_beyond_this_machine() -> None:
    networks = compose()["networks"]
    outside = {name for name in networks if not networks[name].get("internal")}
    reaching = {name for name in SERVICES if outside & set(service(name)["networks"])}
    assert reaching == {"api", "worker", "grafana"}
    for name in SERVICES:
        assert all(port.startswith("127.0.0.1:") for port in service(name).get("ports", [])), name


def test_processes_start_behind_the_migrations_and_the_spool_outlives_a_worker() -> None:
    for name in PROCESSES:
        assert service(name)["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert service(name)["command"] == [name]
    assert service("migrate")["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert service("worker")["volumes"] == ["spool:/var/lib/tokenkeep"]
    assert service("scheduler")["deploy"]["replicas"] == service("worker")["deploy"]["replicas"] == 2


def test_valkey_keeps_its_log_and_evicts_nothing() -> None:
    words = service("valkey")["command"]
    said = dict(zip(words[1::2], words[2::2], strict=True))
    assert said["--appendonly"] == "yes"
    assert said["--maxmemory-policy"] == "noeviction"


def test_postgresql_is_told_nothing_that_could_lose_a_commit() -> None:
    words = " ".join(service("postgres")["command"])
    assert not any(name in words for name in ("fsync", "full_page_writes", "synchronous_commit"))
