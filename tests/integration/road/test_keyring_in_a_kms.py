"""A worker whose keyring AWS KMS has encrypted, against moto: KMS is needed at its start, and never again."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from road import open_road
from road_processes import environment_of, process
from token_server import TokenServer
from tokenkeep.adapters.key_services.aws_kms import AwsKms
from tokenkeep.adapters.vault.key_opener import KeyOpener
from tokenkeep.adapters.vault.keyring import Keyring, new_entry
from tokenkeep.domain.secret import Secret


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedMotoServer]:
    """AWS on this machine; the environment, and that of child processes, leads there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield server
    server.stop()


def a_key() -> str:
    """The ARN of a new key."""
    client = boto3.session.Session().client("kms", region_name="eu-west-1")
    return str(client.create_key()["KeyMetadata"]["Arn"])


async def test_a_worker_needs_its_key_service_at_its_start_and_never_again(
    database_url: str, redis_url: str, server: TokenServer, aws: ThreadedMotoServer
) -> None:
    arn = await asyncio.to_thread(a_key)
    _, entry = await asyncio.to_thread(new_entry, AwsKms(arn))
    opener = KeyOpener([AwsKms(arn)])
    ring = await asyncio.to_thread(lambda: Keyring.parse(entry, open_key=opener))
    encrypted: dict[str, Any] = {"keyring": entry, "keyring_kms": (f"aws-kms:{arn}",)}
    server.lifetime_s = 3
    async with open_road(database_url, redis_url, keyring=ring.to_text().reveal()) as road:
        await road.foundation.redis.flushall()
        account_id = await road.account(await road.source(server.url))
        async with process(road, "scheduler", tick_interval_s=0.2), process(road, "worker", **encrypted):
            await presented(server, 1)
            await asyncio.to_thread(aws.stop)
            await presented(server, len(server.presented) + 2)
        assert server.most_presented() == 1
        assert (await road.view(account_id)).account.disabled is None


async def presented(server: TokenServer, count: int) -> None:
    async with asyncio.timeout(60):
        while len(server.presented) < count:  # noqa: ASYNC110 - the server tells of the first only
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("words", [["worker"], ["api"]])
async def test_a_key_service_that_refuses_ends_a_start_with_one_line(
    database_url: str, redis_url: str, words: list[str]
) -> None:
    arn = await asyncio.to_thread(a_key)
    _, entry = await asyncio.to_thread(new_entry, AwsKms(arn))
    other = await asyncio.to_thread(a_key)
    missing = other.rpartition("/")[0] + "/00000000-0000-4000-8000-000000000000"
    async with open_road(database_url, redis_url) as road:
        environment = environment_of(road, keyring=entry, keyring_kms=(f"aws-kms:{missing}",), api_port=0)
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tokenkeep", *words),
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await asyncio.wait_for(command.communicate(), 60)
    assert command.returncode == 1
    assert err.decode() == "TOKENKEEP_KEYRING_KMS: aws-kms: refused with NotFoundException\n"


@pytest.mark.usefixtures("aws")
async def test_keys_are_made_encrypted_by_the_command(database_url: str, redis_url: str) -> None:
    arn = await asyncio.to_thread(a_key)
    async with open_road(database_url, redis_url) as road:
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tokenkeep", "keys", "generate"),
            env=environment_of(road, keyring_kms=(f"aws-kms:{arn}",)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(command.communicate(), 60)
    opener = KeyOpener([AwsKms(arn)])
    ring = await asyncio.to_thread(lambda: Keyring.parse(Secret(out.decode()), open_key=opener))
    assert out.decode().startswith(f"{ring.current}:aws-kms:")
