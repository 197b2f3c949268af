"""Lease, write ahead, settle: the custody protocol over one connection, a batch at a time."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres import custody_statements as statements
from tokenkeep.adapters.postgres.event_log import append_events
from tokenkeep.adapters.postgres.revocation_requests import request_revocations
from tokenkeep.adapters.postgres.source_custody import PostgresSourceLedger
from tokenkeep.adapters.postgres.standings import (
    ACCOUNT_WIDTH,
    CREDENTIAL_WIDTH,
    account_of,
    account_values,
    credential_of,
    lease_of,
)
from tokenkeep.application.refreshing import (
    Leased,
    LeaseRequest,
    LockedAccount,
    Receipt,
    SettlementWrite,
    WriteAhead,
)
from tokenkeep.application.revocations import NewRevocation
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId
from tokenkeep.domain.settlement import Standing


class PostgresCustodyLedger:
    """The ledger over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.sources = PostgresSourceLedger(connection)

    async def lease(
        self,
        requests: Sequence[LeaseRequest],
        *,
        lease: timedelta,
        look: timedelta,
        resting: Collection[SourceId] = (),
    ) -> list[Leased]:
        """S1: take custody of those accounts that are owed a refresh and that nobody holds.

        `look` is when a scheduler shall look after a lease that was never given back. Accounts of `resting` sources are left
        alone.
        """
        parameters = {
            **statements.REQUESTS.arrays([(one.account_id, one.attempt_id) for one in requests]),
            "lease_s": lease.total_seconds(),
            "look_s": look.total_seconds(),
            "resting": list(resting),
        }
        result = await self._connection.execute(statements.LEASE, parameters)
        return [
            Leased(
                account_id=AccountId(row[0]),
                source_id=SourceId(row[1]),
                attempt_id=AttemptId(row[2]),
                fence=row[3],
                version=credential_of(row[-CREDENTIAL_WIDTH - 2 : -2]),
                sealed_key=SealedKey(row[-2], row[-1]),
                refresh_ciphertext=row[4],
                scopes=tuple(row[5]),
                token_type=row[6],
                properties=row[7],
                due_since=row[8],
                doubts=row[9],
                secret_version=row[10],
                external_id=row[11],
            )
            for row in result
        ]

    async def write_ahead(self, intents: Sequence[WriteAhead]) -> Mapping[AttemptId, datetime]:
        """S4: journal that these refresh tokens are about to leave. Returns `sent_at` of those that may.

        An attempt that is missing from the answer was fenced off, or its token changed: it must not be sent.
        """
        rows = [
            (
                intent.leased.account_id,
                intent.leased.attempt_id,
                intent.leased.source_id,
                intent.leased.fence,
                intent.leased.version.epoch,
                intent.leased.version.generation,
                intent.trigger.value,
                intent.correlation_id,
                intent.secret_version,
                intent.quarantine_s,
                intent.leased.due_since,
            )
            for intent in intents
        ]
        result = await self._connection.execute(statements.WRITE_AHEAD, statements.INTENTS.arrays(rows))
        return {AttemptId(row.id): row.sent_at for row in result}

    async def lock(self, account_ids: Sequence[AccountId]) -> dict[AccountId, LockedAccount]:
        """Lock these accounts until the transaction ends, and read how they stand. Unknown ones are left out."""
        parameters = {"ids": list(account_ids)}
        leases = {
            row[0]: (lease_of(row[2:]), row[1]) for row in await self._connection.execute(statements.LOCK, parameters)
        }
        locked: dict[AccountId, LockedAccount] = {}
        for row in await self._connection.execute(statements.READ_LOCKED, parameters):
            if row[0] not in leases:
                continue
            lease, now = leases[row[0]]
            account = account_of(row[:ACCOUNT_WIDTH])
            credential = credential_of(row[ACCOUNT_WIDTH:-2])
            locked[account.id] = LockedAccount(Standing(account, lease, credential), SealedKey(row[-2], row[-1]), now)
        return locked

    async def write(self, writes: Sequence[SettlementWrite]) -> None:
        """S7: write what was decided about locked accounts: credentials, schedule, journal and events together."""
        leases = statements.LEASES.arrays([_lease(write) for write in writes])
        await self._connection.execute(statements.WRITE_LEASES, leases)
        if installs := [_install(write) for write in writes if write.sealed is not None]:
            await self._connection.execute(statements.INSTALL, statements.CREDENTIALS.arrays(installs))
        changed = [
            account_values(write.settlement.standing.account)
            for write in writes
            if write.settlement.standing.account is not write.before.account
            and write.settlement.standing.account != write.before.account
        ]
        if changed:
            await self._connection.execute(statements.WRITE_ACCOUNTS, statements.ACCOUNTS.parameters(changed))
        if attempts := [_attempt(write) for write in writes if write.attempt is not None]:
            await self._connection.execute(statements.WRITE_ATTEMPTS, statements.ATTEMPTS.arrays(attempts))
        tried = [
            {"account_id": write.settlement.standing.account.id, "attempt_id": write.settlement.tried}
            for write in writes
            if write.settlement.tried is not None
        ]
        if tried:
            await self._connection.execute(statements.MARK_TRIED, statements.TRIED.parameters(tried))
        if receipts := [_receipt(write) for write in writes if write.receipt is not None]:
            await self._connection.execute(statements.WRITE_RECEIPTS, statements.RECEIPTS.parameters(receipts))
        await append_events(self._connection, [event for write in writes for event in write.events])

    async def close_attempts(self, attempts: Sequence[tuple[AccountId, UUID]]) -> None:
        """Say in the journal of attempts whose workers never came back that nobody knows what became of them."""
        rows = [{"account_id": account_id, "id": attempt_id} for account_id, attempt_id in attempts]
        if rows:
            await self._connection.execute(statements.CLOSE_ATTEMPTS, statements.CLOSED.parameters(rows))

    async def give_back(self, account_id: AccountId, fence: int, *, rest: timedelta = timedelta(0)) -> None:
        """Free a lease that is still ours and under which nothing was sent. A scheduler hints at it again after `rest`."""
        parameters = {"account_id": account_id, "fence": fence, "rest_s": rest.total_seconds()}
        await self._connection.execute(statements.GIVE_BACK, parameters)

    async def present_again(self, account_id: AccountId, fence: int, *, quarantine: timedelta) -> datetime | None:
        """Journal that the holder presents its token once more; None when it was fenced off and must not."""
        parameters = {"account_id": account_id, "fence": fence, "quarantine_s": quarantine.total_seconds()}
        row = (await self._connection.execute(statements.PRESENT_AGAIN, parameters)).first()
        return None if row is None else row.sent_at

    async def orphans(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, Sequence[Receipt]]:
        """Token sets of these accounts that were received, not installed, and not tried yet."""
        found: dict[AccountId, list[Receipt]] = defaultdict(list)
        for row in await self._connection.execute(statements.ORPHANS, {"ids": list(account_ids)}):
            receipt = Receipt(
                account_id=AccountId(row.account_id),
                attempt_id=AttemptId(row.attempt_id),
                epoch=row.epoch,
                fence=row.fence,
                presented_generation=row.presented_generation,
                sealed_key=SealedKey(row.key_id, row.wrapped_key),
                ciphertext=row.ciphertext,
            )
            found[receipt.account_id].append(receipt)
        return found

    async def gone(self, account_ids: Sequence[AccountId]) -> set[AccountId]:
        """Those of these accounts that were given up: they do not exist any more, or only without their credentials.

        Those that were handed back are not among them.
        """
        return {
            AccountId(row.id) for row in await self._connection.execute(statements.GONE, {"ids": list(account_ids)})
        }

    async def request_revocation(self, wanted: NewRevocation) -> None:
        """Have the provider told that a token is to be worth nothing which came for an account that was given up."""
        await request_revocations(self._connection, [wanted])


def _lease(write: SettlementWrite) -> tuple[object, ...]:
    """In the order of `LEASES`."""
    standing = write.settlement.standing
    lease = standing.lease
    return (
        standing.account.id,
        lease.fence,
        lease.epoch,
        lease.phase.value,
        lease.attempt_id,
        lease.lease_until,
        lease.sent_at,
        lease.presented_generation,
        standing.credential.obtained_at,
        lease.next_refresh_at,
        lease.due_at,
        lease.not_before,
        lease.consecutive_failures,
        lease.failing_since,
        lease.doubts,
        lease.doubt_since,
        lease.suspected_at,
        lease.event_sequence,
        lease.watched_end,
        lease.tell_at,
    )


def _install(write: SettlementWrite) -> tuple[object, ...]:
    """In the order of `CREDENTIALS`."""
    sealed, version = write.sealed, write.settlement.standing.credential
    assert sealed is not None  # noqa: S101 - the caller filters
    return (
        write.settlement.standing.account.id,
        version.epoch,
        version.generation,
        version.installed_fence,
        sealed.access_ciphertext,
        sealed.refresh_ciphertext,
        sealed.token_type,
        " ".join(sealed.scopes),
        version.obtained_at,
        version.expires_at,
        version.refresh_token_expires_at,
        version.refresh_end_derived,
    )


def _attempt(write: SettlementWrite) -> tuple[object, ...]:
    """In the order of `ATTEMPTS`."""
    attempt, settlement = write.attempt, write.settlement
    assert attempt is not None  # noqa: S101 - the caller filters
    return (
        attempt.account_id,
        attempt.id,
        write.source_id,
        attempt.epoch,
        attempt.fence,
        attempt.presented_generation,
        attempt.trigger.value,
        attempt.correlation_id,
        write.secret_version,
        attempt.sent_at,
        write.settled_at,
        settlement.outcome.value,
        None if settlement.reason is None else settlement.reason.value,
        settlement.http_status,
        settlement.error_code,
        write.presentations,
        None if settlement.resolution is None else settlement.resolution.value,
        attempt.due_at,
    )


def _receipt(write: SettlementWrite) -> dict[str, object]:
    attempt, key = write.attempt, write.sealed_key
    assert attempt is not None  # noqa: S101 - a receipt belongs to an attempt
    assert key is not None  # noqa: S101 - and was sealed
    return {
        "account_id": attempt.account_id,
        "attempt_id": attempt.id,
        "epoch": attempt.epoch,
        "fence": attempt.fence,
        "presented_generation": attempt.presented_generation,
        "key_id": key.key_id,
        "wrapped_key": key.wrapped,
        "ciphertext": write.receipt,
    }
