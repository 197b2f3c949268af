"""Wires a worker: the refresh use-case over real adapters."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from tokenkeep.adapters.client_keys.assertions import JoseAssertions
from tokenkeep.adapters.credential_stores.opening import open_stores
from tokenkeep.adapters.failpoints.ledgers import FailingLedgers
from tokenkeep.adapters.failpoints.striking import arm
from tokenkeep.adapters.failpoints.worker_ports import FailingEndpoints, FailingLocks, FailingRefreshers, FailingSpool
from tokenkeep.adapters.hashicorp_http import VaultLogin
from tokenkeep.adapters.key_services.opening import open_key_services
from tokenkeep.adapters.postgres.credential_rows import PostgresCredentialRows
from tokenkeep.adapters.postgres.due_revocations import PostgresRevocationRequests
from tokenkeep.adapters.postgres.instance_keys import PostgresStoreKey
from tokenkeep.adapters.postgres.keyring_holders import PostgresKeyringHolders
from tokenkeep.adapters.postgres.schedule import PostgresSchedule
from tokenkeep.adapters.postgres.sources import PostgresSourceConfigs
from tokenkeep.adapters.postgres.unit_of_work import PostgresLedgers
from tokenkeep.adapters.redis.custody_lock import RedisCustodyLocks
from tokenkeep.adapters.redis.source_limits import RedisSourceLimits
from tokenkeep.adapters.redis.wakeups import RedisAnnouncer
from tokenkeep.adapters.refreshers.installed import installed_refreshers
from tokenkeep.adapters.refreshers.running import RunningRefreshers
from tokenkeep.adapters.refreshers.signatures import sign_callout
from tokenkeep.adapters.spool.file_spool import FileSpool
from tokenkeep.adapters.telemetry.admission_observer import AdmissionTelemetry
from tokenkeep.adapters.telemetry.refresh_observer import RefreshTelemetry
from tokenkeep.adapters.telemetry.revocation_observer import RevocationTelemetry
from tokenkeep.adapters.telemetry.store_log import StoreLog
from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.lending import LentConnections
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.adapters.token_endpoint.tls_contexts import TlsContexts
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.key_opener import KeyOpener
from tokenkeep.adapters.vault.keyring_file import read_keyring
from tokenkeep.adapters.vault.keyring_reports import KeyringReports
from tokenkeep.application.admission import Admission
from tokenkeep.application.backpressure import Backpressure
from tokenkeep.application.bulkheads import Bulkheads
from tokenkeep.application.credential_stores import CredentialStores
from tokenkeep.application.drain_spool import DrainSpool
from tokenkeep.application.keep_answers import KeepAnswers
from tokenkeep.application.known_limits import KnownLimits
from tokenkeep.application.lock_keeping import LockKeeper
from tokenkeep.application.move_credentials import MoveCredentials
from tokenkeep.application.ports import Announcer, CustodyLocks, Ledgers, Refreshers, Spool, TokenEndpoints
from tokenkeep.application.present_token import PresentToken
from tokenkeep.application.put_away import PutAway
from tokenkeep.application.refresh_accounts import RefreshAccounts
from tokenkeep.application.refresh_hooks import RefreshHooks
from tokenkeep.application.revoke_grants import RevokeGrants
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.settle_attempts import SettleAttempts
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.application.source_turns import SourceTurns
from tokenkeep.application.sweep_stores import SweepStores
from tokenkeep.application.tell_keyring import TellKeyring
from tokenkeep.application.watch_sources import WatchSources
from tokenkeep.bootstrap import Foundation, ProcessClocks, wall_clock
from tokenkeep.domain.ids import new_id


@dataclass(frozen=True, slots=True, repr=False)
class Refreshing:
    """The use-case with the parts that must be closed after it, and what opens what is sealed."""

    refresh: RefreshAccounts
    sealer: TokenSealer
    endpoints: ConnectionPool
    drain_spool: DrainSpool
    revoke: RevokeGrants
    stores: CredentialStores
    move: MoveCredentials
    sweep: SweepStores
    keyring_reports: KeyringReports

    async def close(self) -> None:
        """Close what was opened."""
        await self.endpoints.close()
        await self.stores.close()


@dataclass(frozen=True, slots=True)
class _Ports:
    """What of the world a refresh touches, step by step."""

    ledgers: Ledgers
    locks: CustodyLocks
    endpoints: TokenEndpoints
    refreshers: Refreshers
    announcer: Announcer
    spool: Spool


def wire(foundation: Foundation) -> Refreshing:
    """The refresh use-case over real adapters.

    Raises:
        SettingsError: There is no usable keyring, a refresher or a store can't be had, or the failpoints can't be understood.
    """
    settings, times = foundation.settings, foundation.times
    login = VaultLogin(settings.vault_token, settings.vault_role_id, settings.vault_secret_id)
    opener = KeyOpener(open_key_services(settings.keyring_kms, login))
    keyring = read_keyring(settings.keyring, settings.keyring_file, opener)
    foundation.metrics.keyring.watch(keyring)
    sealer = TokenSealer(Vault(keyring))
    stores = open_stores(
        sealer.vault,
        settings.credential_store,
        settings.former_credential_stores,
        login,
        owner=PostgresStoreKey(foundation.database),
    )
    put_away = PutAway(stores, sealer)
    tls = TlsContexts()
    clients = SourceClients(sealer.vault, JoseAssertions(), tls, wall_clock)
    endpoints = ConnectionPool(AddressPolicy(settings.allow_private_hosts), tls=tls)
    spool = FileSpool(settings.spool_path)
    reports = KeyringReports(
        TellKeyring(new_id(), "worker", PostgresKeyringHolders(foundation.database), keyring, spool)
    )
    ports = _Ports(
        ledgers=PostgresLedgers(foundation.database),
        locks=RedisCustodyLocks(foundation.redis, ttl=times.lease),
        endpoints=LentConnections(endpoints),
        refreshers=RunningRefreshers(installed_refreshers()),
        announcer=RedisAnnouncer(foundation.redis),
        spool=spool,
    )
    if settings.failpoints is not None:
        ports = _armed(ports, settings.failpoints)
    sources = PostgresSourceConfigs(foundation.database)
    observer = RefreshTelemetry(foundation.metrics, lines_per_s=settings.log_refreshes_per_s)
    clocks = ProcessClocks(boottime)
    settle = SettleAttempts(ports.ledgers, sealer, foundation.policy, foundation.quarantine, foundation.links)
    present, keep = _steps(foundation)
    backpressure = Backpressure(2 * settings.worker_threads * settings.message_batch, clocks)
    foundation.metrics.watch_settling_window(backpressure.limit)
    watch = WatchSources(ledgers=ports.ledgers, observer=observer, clocks=clocks)
    refresh = RefreshAccounts(
        admission=_admission(foundation, watch, clocks, backpressure),
        backpressure=backpressure,
        ledgers=ports.ledgers,
        sources=sources,
        locks=ports.locks,
        keeper=LockKeeper(ports.locks, every=times.lease / 3, clocks=clocks),
        catalogue=foundation.catalogue,
        present=present(
            backpressure=backpressure,
            ledgers=ports.ledgers,
            sealer=sealer,
            stores=stores,
            clients=clients,
            hooks=RefreshHooks(clients, ports.refreshers, sign_callout, wall_clock, times.provider_deadline),
            endpoints=ports.endpoints,
            observer=observer,
            clocks=clocks,
            times=times,
            quarantine=foundation.quarantine,
        ),
        keep=keep(
            settle=settle,
            put_away=put_away,
            vault=sealer.vault,
            spool=ports.spool,
            observer=observer,
            clocks=clocks,
            backpressure=backpressure,
        ),
        watch=watch,
        announcer=ports.announcer,
        observer=observer,
        times=times,
        hold=settings.custody_hold,
    )
    drain = DrainSpool(ports.spool, sources, foundation.catalogue, settle, put_away, observer)
    rows = PostgresCredentialRows(foundation.database)
    revoke = RevokeGrants(
        PostgresRevocationRequests(foundation.database),
        sources,
        sealer,
        clients,
        foundation.catalogue,
        ports.endpoints,
        clocks,
        RevocationTelemetry(foundation.metrics),
        times.provider_deadline,
        times.write_ahead,
    )
    move = MoveCredentials(stores, sealer.vault, rows, StoreLog())
    sweep = SweepStores(stores, rows, clocks)
    return Refreshing(refresh, sealer, endpoints, drain, revoke, stores, move, sweep, reports)


def _admission(
    foundation: Foundation, watch: WatchSources, clocks: ProcessClocks, backpressure: Backpressure
) -> Admission:
    settings = foundation.settings
    # A place outlives whatever may happen to who is in it, a refusal that is tried once more in its grace too.
    place_s = settings.quarantine_s
    bulkheads = Bulkheads(settings.worker_threads * settings.message_batch)
    shared = RedisSourceLimits(foundation.redis, worker=new_id().hex, place_s=place_s)
    return Admission(
        limits=KnownLimits(PostgresSourceConfigs(foundation.database), foundation.catalogue, clocks),
        bulkheads=bulkheads,
        turns=SourceTurns(bulkheads=bulkheads, shared=shared, watch=watch, clocks=clocks),
        room=PostgresSchedule(foundation.database),
        observer=AdmissionTelemetry(foundation.metrics),
        clocks=clocks,
        backpressure=backpressure,
    )


def _steps(foundation: Foundation) -> tuple[Callable[..., PresentToken], Callable[..., KeepAnswers]]:
    """The steps of a refresh that are traced, where that is on."""
    if foundation.traces is None:
        return PresentToken, KeepAnswers
    from tokenkeep.adapters.tracing.traced_refresh import (  # noqa: PLC0415 - it imports OpenTelemetry
        TracedKeep,
        TracedPresent,
    )

    return partial(TracedPresent, foundation.traces), partial(TracedKeep, foundation.traces)


def _armed(ports: _Ports, spec: str) -> _Ports:
    """The ports with failpoints around them. Raises `SettingsError` when the specification can't be understood."""
    points = arm(spec)
    return replace(
        ports,
        ledgers=FailingLedgers(ports.ledgers, points),
        locks=FailingLocks(ports.locks, points),
        endpoints=FailingEndpoints(ports.endpoints, points),
        refreshers=FailingRefreshers(ports.refreshers, points),
        spool=FailingSpool(ports.spool, points),
    )
