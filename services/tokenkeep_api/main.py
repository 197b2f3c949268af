"""Wires and runs one API process. Any number may run."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta

import structlog
import uvloop

from tokenkeep.adapters.client_keys.assertions import JoseAssertions
from tokenkeep.adapters.credential_stores.opening import open_stores
from tokenkeep.adapters.hashicorp_http import VaultLogin
from tokenkeep.adapters.key_services.opening import open_key_services
from tokenkeep.adapters.oauth1.signing import AuthlibSigner
from tokenkeep.adapters.postgres.api_keys import PostgresKeyLookup
from tokenkeep.adapters.postgres.audit import append_audit
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_feed import PostgresEventFeed
from tokenkeep.adapters.postgres.event_log import OUTBOX_CHANNEL
from tokenkeep.adapters.postgres.event_tail import EventTail
from tokenkeep.adapters.postgres.keyring_holders import PostgresKeyringHolders
from tokenkeep.adapters.postgres.notifications import Listener
from tokenkeep.adapters.postgres.sources import PostgresSourceConfigs
from tokenkeep.adapters.postgres.token_reads import PostgresDemands, PostgresTokenReads
from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.adapters.redis.connection import connect_blocking
from tokenkeep.adapters.redis.queue import DramatiqRefreshQueue, create_broker
from tokenkeep.adapters.redis.wakeups import RedisWaiters
from tokenkeep.adapters.security_events.tokens import JoseEventTokens
from tokenkeep.adapters.telemetry.logs import configure_logging
from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.lending import LentConnections
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.adapters.token_endpoint.tls_contexts import TlsContexts
from tokenkeep.adapters.tracing.opening import open_traces
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.key_opener import KeyOpener
from tokenkeep.adapters.vault.keyring_file import read_keyring
from tokenkeep.adapters.vault.keyring_reports import KeyringReports
from tokenkeep.application.accept_events import AcceptEvents
from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.check_credentials import LONGEST_CHECK, CheckCredentials
from tokenkeep.application.console_sessions import SignIn
from tokenkeep.application.create_account import CreateAccount
from tokenkeep.application.delete_account import DeleteAccount
from tokenkeep.application.delete_source import DeleteSource
from tokenkeep.application.demand_refresh import DemandRefresh
from tokenkeep.application.discard_grant import DiscardGrant
from tokenkeep.application.discover_metadata import DiscoverMetadata
from tokenkeep.application.exchange_code import ExchangeCode
from tokenkeep.application.first_answers import AskOnce
from tokenkeep.application.hook_proofs import ProveHook
from tokenkeep.application.import_accounts import ImportAccounts
from tokenkeep.application.issue_api_key import Authenticate, IssueApiKey, WithdrawApiKey
from tokenkeep.application.machine_requests import MachineRequests
from tokenkeep.application.manage_sources import CreateSource, PauseSource, UpdateSource
from tokenkeep.application.oauth1_legs import OAuth1Legs
from tokenkeep.application.obtain_credentials import ObtainCredentials
from tokenkeep.application.obtain_token import ObtainToken
from tokenkeep.application.ports import RefreshQueue
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.release_custody import ConfirmRelease, ReleaseCustody
from tokenkeep.application.replace_credentials import ReplaceCredentials
from tokenkeep.application.request_refresh import RequestRefresh
from tokenkeep.application.request_revocation import RequestRevocation
from tokenkeep.application.resume_source import ResumeSource
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.security_event_keys import SecurityEventKeys
from tokenkeep.application.settle_notices import SettleNotices
from tokenkeep.application.sign_check import SignCheck
from tokenkeep.application.sign_request import SignRequest
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.application.start_authorization import StartAuthorization
from tokenkeep.application.take_provider_hook import TakeProviderHook
from tokenkeep.application.tell_keyring import TellKeyring
from tokenkeep.application.toggle_account import ToggleAccount
from tokenkeep.application.update_account import UpdateAccount
from tokenkeep.application.vend_token import VendToken
from tokenkeep.application.verify_account import VerifyAccount
from tokenkeep.application.withdraw_account import WithdrawAccount
from tokenkeep.bootstrap import Foundation, ProcessClocks, calm_collector, lay_foundation, stop_on_signals, wall_clock
from tokenkeep.domain.ids import SourceId, new_id
from tokenkeep.domain.mass_revocation import RevocationGuard
from tokenkeep.domain.rate_limit import Rate
from tokenkeep.settings import Settings, require_database, require_redis, trace_exporters
from tokenkeep_api.app import create_app, fast_path
from tokenkeep_api.buffers import CredentialReads, Flusher, KeyUses
from tokenkeep_api.connecting import Connecting
from tokenkeep_api.creations import Creations
from tokenkeep_api.feed_readers import FeedReaders
from tokenkeep_api.importing import Importing, Patience
from tokenkeep_api.listening import Server, bind
from tokenkeep_api.persistence import Persistence
from tokenkeep_api.rate_limits import RateLimits
from tokenkeep_api.webhooks import Webhooks
from tokenkeep_api.wired import Wired

_PREPARATION_MARGIN = timedelta(seconds=10)
# A provider that waits for an answer gives up after some seconds, and comes again.
_KEYS_DEADLINE = timedelta(seconds=5)

_log = structlog.get_logger("tokenkeep.api")


def refresh_queue(foundation: Foundation) -> RefreshQueue:
    """The queue over which the workers are asked for refreshes."""
    along = None if foundation.traces is None else foundation.traces.of_message
    return DramatiqRefreshQueue(create_broker(connect_blocking(require_redis(foundation.settings))), along=along)


def wire(foundation: Foundation, queue: RefreshQueue) -> Wired:
    """The API's use-cases over real adapters.

    Raises:
        SettingsError: There is no usable keyring, or the credential store can't be understood.
    """
    settings, database = foundation.settings, foundation.database
    login = VaultLogin(settings.vault_token, settings.vault_role_id, settings.vault_secret_id)
    opener = KeyOpener(open_key_services(settings.keyring_kms, login))
    keyring = read_keyring(settings.keyring, settings.keyring_file, opener)
    foundation.metrics.keyring.watch(keyring)
    vault = Vault(keyring)
    sealer = TokenSealer(vault)
    stores = open_stores(vault, settings.credential_store, settings.former_credential_stores, login)
    tls = TlsContexts()
    clients = SourceClients(vault, JoseAssertions(), tls, wall_clock)
    signer = AuthlibSigner()
    works = PostgresWorks(database)
    persist = Persistence(works)
    configs = PostgresSourceConfigs(database)
    keys = PostgresKeyLookup(database)
    clocks = ProcessClocks(boottime)
    demand = DemandRefresh(PostgresDemands(database), queue)
    addresses = AddressPolicy(settings.allow_private_hosts)
    endpoints = ConnectionPool(addresses, tls=tls)
    waiters = RedisWaiters(foundation.redis)
    reads = CredentialReads(_audit_writer(database))
    deadline = foundation.times.provider_deadline
    create_account = CreateAccount(foundation.catalogue, sealer, foundation.policy)
    replace_credentials = ReplaceCredentials(foundation.catalogue, sealer, foundation.policy)
    exchange_code = ExchangeCode(
        sources=configs,
        clients=clients,
        catalogue=foundation.catalogue,
        endpoints=LentConnections(endpoints),
        clocks=clocks,
        now=_database_clock(works),
        deadline=deadline,
    )
    legs = OAuth1Legs(
        sources=configs,
        clients=clients,
        signer=signer,
        catalogue=foundation.catalogue,
        ask=AskOnce(LentConnections(endpoints), clocks, deadline),
        now=_database_clock(works),
        wall_clock=wall_clock,
    )
    tokens = PostgresTokenReads(database)
    vend = VendToken(tokens, demand, waiters, sealer, stores, clocks, foundation.metrics, foundation.catalogue)

    async def patient_configs(source_ids: Collection[SourceId]) -> dict[SourceId, SourceConfig]:
        # A check may follow an exchange, whose result must not be lost over a read.
        return await persist.again(lambda: configs(source_ids))

    check = CheckCredentials(
        foundation.catalogue,
        LentConnections(endpoints),
        clocks,
        min(deadline, LONGEST_CHECK),
        SignCheck(patient_configs, clients, signer, foundation.catalogue, wall_clock),
    )
    discard = DiscardGrant(works, foundation.catalogue, sealer)
    obtain_token = ObtainToken(
        configs,
        MachineRequests(clients),
        foundation.catalogue,
        AskOnce(LentConnections(endpoints), clocks, deadline),
        _database_clock(works),
    )
    obtain = ObtainCredentials(works, exchange_code, obtain_token, check, discard, legs)
    return Wired(
        foundation=foundation,
        works=works,
        authenticate=Authenticate(keys, settings.admin_key),
        vend=vend,
        tokens=tokens,
        sign_request=SignRequest(vend, configs, clients, signer, foundation.catalogue, wall_clock),
        discover_metadata=DiscoverMetadata(LentConnections(endpoints), clocks, deadline),
        create_source=CreateSource(foundation.catalogue, vault, clients, signer),
        update_source=UpdateSource(foundation.catalogue, vault, clients, signer),
        pause_source=PauseSource(),
        delete_source=DeleteSource(),
        resume_source=ResumeSource(works, RevocationGuard(), foundation.links),
        create_account=create_account,
        obtain_credentials=obtain,
        start_authorization=StartAuthorization(works, foundation.catalogue, legs, foundation.links.key),
        update_account=UpdateAccount(foundation.catalogue, sealer, foundation.policy),
        replace_credentials=replace_credentials,
        release_custody=ReleaseCustody(works, waiters, sealer, stores, clocks, foundation.catalogue),
        confirm_release=ConfirmRelease(),
        delete_account=DeleteAccount(RequestRevocation(foundation.catalogue, sealer)),
        toggle_account=ToggleAccount(foundation.catalogue),
        withdraw_account=WithdrawAccount(RequestRevocation(foundation.catalogue, sealer)),
        request_refresh=RequestRefresh(works, demand),
        verify_account=VerifyAccount(works, vend, check, sealer, stores, foundation.links),
        accept_events=AcceptEvents(works, foundation.metrics),
        take_provider_hook=TakeProviderHook(
            works,
            foundation.catalogue,
            ProveHook(
                clients,
                SecurityEventKeys(AskOnce(LentConnections(endpoints), clocks, min(deadline, _KEYS_DEADLINE)), clocks),
                JoseEventTokens(),
                wall_clock,
            ),
            SettleNotices(works, queue, foundation.links),
            foundation.metrics,
        ),
        connecting=Connecting.wire(
            foundation,
            works,
            persist,
            vault,
            exchange=exchange_code,
            legs=legs,
            check=check,
            discard=discard,
            obtain=obtain,
            create=create_account,
            replace=replace_credentials,
        ),
        sign_in=SignIn(vault),
        issue_api_key=IssueApiKey(),
        withdraw_api_key=WithdrawApiKey(),
        webhooks=Webhooks.wire(
            works, vault, endpoints, clocks, deadline=timedelta(seconds=settings.webhook_deadline_s)
        ),
        creations=Creations(
            works, persist, vault, reads, longest_preparation=deadline + check.deadline + _PREPARATION_MARGIN
        ),
        persist=persist,
        importing=Importing(ImportAccounts(create_account, Patience(works))),
        event_tail=EventTail(PostgresEventFeed(database)),
        feed_readers=FeedReaders(),
        addresses=addresses,
        reads=reads,
        uses=KeyUses(keys.record_use),
        limits=RateLimits(key_rate(settings), refused=foundation.metrics.request_refused),
        waiters=waiters,
        endpoints=endpoints,
        stores=stores,
        keyring_reports=KeyringReports(TellKeyring(new_id(), "api", PostgresKeyringHolders(database), keyring)),
    )


class Api:
    """What of the API lives beside its requests: what it listens to, the buffers it flushes."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        buffers = wired.foundation.metrics.buffers
        buffers.watch_reads(wired.reads.unwritten)
        self._flusher = Flusher(wired.reads.flush, wired.uses.flush, failed=buffers.flush_failed)
        self._listener = Listener(require_database(wired.foundation.settings), OUTBOX_CHANNEL, wired.event_tail.notify)

    async def start(self) -> None:
        """Begin."""
        self._wired.waiters.start()
        self._wired.event_tail.start_watching()
        self._listener.start()
        self._flusher.start()
        await self._wired.keyring_reports.start()

    def drain(self) -> None:
        """End what would go on by itself: streams, and waits for events."""
        self._wired.event_tail.close()

    async def stop(self) -> None:
        """Write what is buffered, and close. The foundation is the caller's."""
        await self._flusher.stop()
        await self._listener.stop()
        await self._wired.event_tail.stop()
        await self._wired.waiters.stop()
        await self._wired.endpoints.close()
        await self._wired.stores.close()
        await self._wired.keyring_reports.stop()


async def serve(settings: Settings, listener: socket.socket) -> None:
    """One API process, from wiring to its end."""
    stopping = stop_on_signals()
    foundation = lay_foundation(settings, process="api", traces=open_traces(trace_exporters(), process="api"))
    try:
        wired = wire(foundation, refresh_queue(foundation))
        server = Server(create_app(wired), fast_path=fast_path(wired))
        api = Api(wired)
        await api.start()
        calm_collector()
        try:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            _log.info("api_ready", url=settings.external_url, port=settings.api_port, pid=os.getpid())
            await _first_of(serving, stopping)
            _log.info("api_draining", delay_s=settings.api_drain_delay_s)
            foundation.leaving.set()
            server.announce_end()
            await _first_of(serving, stopping.at_once, within_s=settings.api_drain_delay_s)
            api.drain()
            server.should_exit = True
            await serving
        finally:
            await api.stop()
    finally:
        await foundation.close()


def run(settings: Settings) -> None:
    """Run the API until SIGTERM or SIGINT; then finish the requests under way and write what is buffered.

    After SIGTERM it goes on serving for a while, not ready and each answer its connection's last, so that what sends requests here notices
    and none is lost. SIGINT, or a second SIGTERM, ends that.

    Raises:
        SettingsError: A setting is missing or wrong.
    """
    configure_logging(settings.log_level, settings.log_format, "api")
    with bind(settings.api_host, settings.api_port) as listener:
        port: int = listener.getsockname()[1]
        uvloop.run(serve(settings.model_copy(update={"api_port": port}), listener))


async def _first_of(serving: "asyncio.Task[None]", event: asyncio.Event, *, within_s: float | None = None) -> None:
    told = asyncio.create_task(event.wait())
    await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED, timeout=within_s)
    told.cancel()


def key_rate(settings: Settings) -> Rate | None:
    """What an API key may ask; None if nobody is limited."""
    return Rate(settings.rate_limit_per_s, settings.rate_limit_burst) if settings.rate_limit_per_s else None


def _database_clock(works: PostgresWorks) -> Callable[[], Awaitable[datetime]]:
    async def now() -> datetime:
        async with works.reading() as work:
            return await work.accounts.now()

    return now


def _audit_writer(database: Database) -> Callable[[Sequence[AuditEntry]], Awaitable[None]]:
    async def write(entries: Sequence[AuditEntry]) -> None:
        await append_audit(database, entries)

    return write
