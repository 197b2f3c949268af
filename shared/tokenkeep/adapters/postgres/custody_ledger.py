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
    account_from,
    account_values,
    credential_from,
    lease_from,
    lease_values,
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
        rows = [{"account_id": r.account_id, "attempt_id": r.attempt_id} for r in requests]
        parameters = {
            **statements.REQUESTS.parameters(rows),
            "lease_s": lease.total_seconds(),
            "look_s": look.total_seconds(),
            "resting": list(resting),
        }
        result = await self._connection.execute(statements.LEASE, parameters)
        return [
            Leased(
                account_id=AccountId(row["id"]),
                source_id=SourceId(row["source_id"]),
                attempt_id=AttemptId(row["attempt_id"]),
                fence=row["fence"],
                version=credential_from(row),
                sealed_key=SealedKey(row["key_id"], row["wrapped_key"]),
                refresh_ciphertext=row["refresh_ciphertext"],
                scopes=tuple(row["scopes"]),
                token_type=row["token_type"],
                properties=row["properties"],
                due_since=row["due_since"],
                doubts=row["doubts"],
                secret_version=row["secret_version"],
                external_id=row["external_id"],
            )
            for row in result.mappings()
        ]

    async def write_ahead(self, intents: Sequence[WriteAhead]) -> Mapping[AttemptId, datetime]:
        """S4: journal that these refresh tokens are about to leave. Returns `sent_at` of those that may.

        An attempt that is missing from the answer was fenced off, or its token changed: it must not be sent.
        """
        rows = [
            {
                "account_id": intent.leased.account_id,
                "attempt_id": intent.leased.attempt_id,
                "source_id": intent.leased.source_id,
                "fence": intent.leased.fence,
                "epoch": intent.leased.version.epoch,
                "generation": intent.leased.version.generation,
                "trigger": intent.trigger.value,
                "correlation_id": intent.correlation_id,
                "secret_version": intent.secret_version,
                "quarantine_s": intent.quarantine_s,
            }
            for intent in intents
        ]
        result = await self._connection.execute(statements.WRITE_AHEAD, statements.INTENTS.parameters(rows))
        return {AttemptId(row.id): row.sent_at for row in result}

    async def lock(self, account_ids: Sequence[AccountId]) -> dict[AccountId, LockedAccount]:
        """Lock these accounts until the transaction ends, and read how they stand. Unknown ones are left out."""
        parameters = {"ids": list(account_ids)}
        leases = {
            row["account_id"]: (lease_from(row), row["now"])
            for row in (await self._connection.execute(statements.LOCK, parameters)).mappings()
        }
        locked: dict[AccountId, LockedAccount] = {}
        for row in (await self._connection.execute(statements.READ_LOCKED, parameters)).mappings():
            if row["id"] not in leases:
                continue
            lease, now = leases[row["id"]]
            account = account_from(row)
            key = SealedKey(row["key_id"], row["wrapped_key"])
            locked[account.id] = LockedAccount(Standing(account, lease, credential_from(row)), key, now)
        return locked

    async def write(self, writes: Sequence[SettlementWrite]) -> None:
        """S7: write what was decided about locked accounts: credentials, schedule, journal and events together."""
        leases = [
            {
                **lease_values(write.settlement.standing.account, write.settlement.standing.lease),
                "obtained_at": write.settlement.standing.credential.obtained_at,
            }
            for write in writes
        ]
        await self._connection.execute(statements.WRITE_LEASES, statements.LEASES.parameters(leases))
        if installs := [_install(write) for write in writes if write.sealed is not None]:
            await self._connection.execute(statements.INSTALL, statements.CREDENTIALS.parameters(installs))
        changed = [
            account_values(write.settlement.standing.account)
            for write in writes
            if write.settlement.standing.account != write.before.account
        ]
        if changed:
            await self._connection.execute(statements.WRITE_ACCOUNTS, statements.ACCOUNTS.parameters(changed))
        if attempts := [_attempt(write) for write in writes if write.attempt is not None]:
            await self._connection.execute(statements.WRITE_ATTEMPTS, statements.ATTEMPTS.parameters(attempts))
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


def _install(write: SettlementWrite) -> dict[str, object]:
    sealed, version = write.sealed, write.settlement.standing.credential
    assert sealed is not None  # noqa: S101 - the caller filters
    return {
        "account_id": write.settlement.standing.account.id,
        "epoch": version.epoch,
        "generation": version.generation,
        "installed_fence": version.installed_fence,
        "access_ciphertext": sealed.access_ciphertext,
        "refresh_ciphertext": sealed.refresh_ciphertext,
        "token_type": sealed.token_type,
        "scopes": " ".join(sealed.scopes),
        "obtained_at": version.obtained_at,
        "expires_at": version.expires_at,
        "refresh_token_expires_at": version.refresh_token_expires_at,
        "refresh_end_derived": version.refresh_end_derived,
    }


def _attempt(write: SettlementWrite) -> dict[str, object]:
    attempt, settlement = write.attempt, write.settlement
    assert attempt is not None  # noqa: S101 - the caller filters
    return {
        "account_id": attempt.account_id,
        "id": attempt.id,
        "source_id": write.source_id,
        "epoch": attempt.epoch,
        "fence": attempt.fence,
        "presented_generation": attempt.presented_generation,
        "trigger": attempt.trigger.value,
        "correlation_id": attempt.correlation_id,
        "secret_version": write.secret_version,
        "sent_at": attempt.sent_at,
        "settled_at": write.settled_at,
        "outcome": settlement.outcome.value,
        "reason": None if settlement.reason is None else settlement.reason.value,
        "http_status": settlement.http_status,
        "error_code": settlement.error_code,
        "presentations": write.presentations,
        "resolution": None if settlement.resolution is None else settlement.resolution.value,
    }


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
