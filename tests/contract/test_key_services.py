"""One suite over the key services: AWS KMS against moto, Google Cloud KMS and Vault against servers written from their documentation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import boto3
import pytest
from moto.server import ThreadedMotoServer

from kms_server import NAME, KmsServer
from tokenkeep.adapters.hashicorp_http import VaultLogin
from tokenkeep.adapters.key_services.aws_kms import AwsKms
from tokenkeep.adapters.key_services.gcp_kms import GcpKms
from tokenkeep.adapters.key_services.key_service import KeyService
from tokenkeep.adapters.key_services.vault_transit import VaultTransit
from tokenkeep.domain.errors import KeyServiceError, KeyServiceUnavailable
from tokenkeep.domain.secret import Secret
from vault_server import NAMESPACE, ROLE_ID, ROOT_TOKEN, SECRET_ID, VaultServer

KEY = bytes(range(32))
REGION = "eu-west-1"


@dataclass
class Subject:
    """A service, one of another key, one whose server is not there, and one that may not use it."""

    service: KeyService
    other_key: KeyService
    away: KeyService
    refused: KeyService


def a_vault(
    url: str, *, key: str = "tokenkeep", login: VaultLogin | None = None, namespace: str | None = None
) -> VaultTransit:
    by_role = VaultLogin(role_id=Secret(ROLE_ID), secret_id=Secret(SECRET_ID))
    return VaultTransit(url, mount="transit", key=key, namespace=namespace, login=login or by_role)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Makes a key at moto and gives its ARN; the environment leads there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def make() -> str:
        client = boto3.session.Session().client("kms", region_name=REGION)
        return str(client.create_key()["KeyMetadata"]["Arn"])

    return make


@pytest.fixture(params=["aws-kms", "gcp-kms", "vault-transit"])
async def subject(
    request: pytest.FixtureRequest, aws: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Subject]:
    if request.param == "aws-kms":
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        server.start()
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://{host}:{port}")
        arn = aws()
        missing = arn.rpartition("/")[0] + "/00000000-0000-4000-8000-000000000000"
        yield Subject(AwsKms(arn), AwsKms(aws()), AwsAway(arn, monkeypatch), AwsKms(missing))
        server.stop()
    elif request.param == "gcp-kms":
        with KmsServer() as kms, KmsServer(away=True) as gone:
            kms.keys[f"{NAME}-2"] = bytes(32)
            second, third = GcpKms(f"{NAME}-2", kms.connect), GcpKms(f"{NAME}-3", kms.connect)
            yield Subject(GcpKms(NAME, kms.connect), second, GcpKms(NAME, gone.connect), third)
    else:
        async with VaultServer().serve() as served, VaultServer(sealed=True).serve() as sealed:
            no_login = a_vault(served.url, login=VaultLogin(Secret("hvs.canary-unknown")))
            root = VaultLogin(Secret(ROOT_TOKEN))
            other = a_vault(served.url, key="other", login=root)
            away = a_vault(sealed.url, login=root)
            yield Subject(a_vault(served.url), other, away, no_login)


class AwsAway(AwsKms):
    """Leads to a port where nobody listens."""

    def __init__(self, arn: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(arn)
        self._monkeypatch = monkeypatch

    def encrypt(self, key: bytes, key_id: str) -> bytes:
        self._monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
        return super().encrypt(key, key_id)


async def in_thread(call: Callable[[], bytes]) -> bytes:
    """As processes call it: it blocks, and the stand-ins of some run on this loop."""
    return await asyncio.to_thread(call)


async def test_what_is_encrypted_opens_again_and_is_never_the_same_twice(subject: Subject) -> None:
    first = await in_thread(lambda: subject.service.encrypt(KEY, "k1"))
    second = await in_thread(lambda: subject.service.encrypt(KEY, "k1"))
    assert first != second
    assert KEY not in first
    assert await in_thread(lambda: subject.service.decrypt(first, "k1")) == KEY
    assert await in_thread(lambda: subject.service.decrypt(second, "k1")) == KEY


async def test_it_opens_under_its_own_id_only(subject: Subject) -> None:
    encrypted = await in_thread(lambda: subject.service.encrypt(KEY, "k1"))
    with pytest.raises(KeyServiceError) as caught:
        await in_thread(lambda: subject.service.decrypt(encrypted, "k2"))
    assert not isinstance(caught.value, KeyServiceUnavailable)


async def test_another_key_of_the_service_does_not_open_it(subject: Subject) -> None:
    await in_thread(lambda: subject.other_key.encrypt(KEY, "k1"))
    encrypted = await in_thread(lambda: subject.service.encrypt(KEY, "k1"))
    with pytest.raises(KeyServiceError):
        await in_thread(lambda: subject.other_key.decrypt(encrypted, "k1"))


async def test_an_altered_entry_does_not_open(subject: Subject) -> None:
    encrypted = await in_thread(lambda: subject.service.encrypt(KEY, "k1"))
    middle = len(encrypted) - 6
    altered = encrypted[:middle] + (b"A" if encrypted[middle : middle + 1] != b"A" else b"B") + encrypted[middle + 1 :]
    with pytest.raises(KeyServiceError) as caught:
        await in_thread(lambda: subject.service.decrypt(altered, "k1"))
    assert not isinstance(caught.value, KeyServiceUnavailable)


async def test_a_service_that_is_away_is_told_from_one_that_refuses(subject: Subject) -> None:
    with pytest.raises(KeyServiceUnavailable) as caught:
        await in_thread(lambda: subject.away.encrypt(KEY, "k1"))
    assert str(caught.value).startswith(f"{subject.service.kind}: ")


async def test_who_may_not_is_refused_without_a_secret_being_quoted(subject: Subject) -> None:
    with pytest.raises(KeyServiceError) as caught:
        await in_thread(lambda: subject.refused.decrypt(b"vault:v1:AAAA", "k1"))
    assert not isinstance(caught.value, KeyServiceUnavailable)
    assert "canary" not in str(caught.value)


def test_an_answer_of_google_that_was_altered_on_its_way_is_not_taken() -> None:
    with KmsServer() as kms:
        service = GcpKms(NAME, kms.connect)
        encrypted = service.encrypt(KEY, "k1")
        kms.spoils = True
        with pytest.raises(KeyServiceUnavailable, match="altered"):
            service.encrypt(KEY, "k1")
        with pytest.raises(KeyServiceUnavailable, match="altered"):
            service.decrypt(encrypted, "k1")


async def test_vault_is_asked_in_its_namespace_with_a_login_of_its_own() -> None:
    vault = VaultServer(namespace=NAMESPACE)
    async with vault.serve() as served:
        service = a_vault(served.url, namespace=NAMESPACE)
        encrypted = await in_thread(lambda: service.encrypt(KEY, "k1"))
        assert encrypted.startswith(b"vault:v1:")
        assert await in_thread(lambda: service.decrypt(encrypted, "k1")) == KEY
    assert vault.logins == 2
