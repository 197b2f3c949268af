"""The reference: refreshing as a good team would write it in a day. `python -m tokenkeep.cli.bench.refresh.naive` is its worker.

A dramatiq message for each due account; a synchronous actor that takes a lock in Redis (redis-py), reads the row by an ORM,
posts by httpx, commits, and appends an event to a stream. Tokens are encrypted (Fernet). What it lacks is the custody
protocol: nothing is written ahead, so a killed worker or a lost answer costs the grant.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta

import dramatiq
import httpx
import redis
from cryptography.fernet import Fernet
from dramatiq import Worker
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy import DateTime, Engine, create_engine, func, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

_THREADS = 8
"""dramatiq's default for a process."""
_LOCK_S = 30
_POST_S = 20.0
_STREAM = "naive:refreshed"
_QUEUE, _ACTOR = "naive", "naive_refresh"


class _Base(DeclarativeBase):
    """The reference's tables."""


class NaiveAccount(_Base):
    """An account with its tokens."""

    __tablename__ = "naive_accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    access_token: Mapped[bytes]
    refresh_token: Mapped[bytes]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    generation: Mapped[int] = mapped_column(default=1)
    refreshed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class NaiveStock:
    """The reference's accounts, seen from outside of its worker: made, brought due and counted."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._engine = _engine(database_url)
        self._broker = _broker(redis_url)
        self.key = Fernet.generate_key().decode()
        self._fernet = Fernet(self.key)

    def make(self, count: int) -> None:
        """Create the tables and so many accounts."""
        _Base.metadata.create_all(self._engine)
        with Session(self._engine) as session, session.begin():
            session.add_all(
                NaiveAccount(
                    access_token=self._fernet.encrypt(f"at-n{number}-1".encode()),
                    refresh_token=self._fernet.encrypt(f"rt-n{number}-1".encode()),
                    expires_at=datetime.now(UTC),
                )
                for number in range(count)
            )

    def enqueue(self, count: int) -> datetime:
        """Bring so many accounts due and enqueue them, as its scheduler would; returns when that began."""
        with Session(self._engine) as session, session.begin():
            ids = session.scalars(select(NaiveAccount.id).order_by(NaiveAccount.id).limit(count)).all()
            past = datetime.now(UTC) - timedelta(seconds=1)
            session.execute(update(NaiveAccount).where(NaiveAccount.id.in_(ids)).values(expires_at=past))
        began = datetime.now(UTC)
        for account_id in ids:
            self._broker.enqueue(dramatiq.Message(_QUEUE, _ACTOR, (account_id,), {}, {}))
        return began

    def refreshed(self, since: datetime) -> tuple[int, float]:
        """How many have been refreshed since then, and how long it took from the first to the last, in seconds."""
        with Session(self._engine) as session:
            wanted = select(
                func.count(), func.min(NaiveAccount.refreshed_at), func.max(NaiveAccount.refreshed_at)
            ).where(NaiveAccount.refreshed_at >= since)
            count, first, last = session.execute(wanted).one()
        return count, 0.0 if first is None or last is None else (last - first).total_seconds()

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _work(database_url: str, redis_url: str, token_url: str, key: str) -> None:
    engine, client, fernet = _engine(database_url), redis.Redis.from_url(redis_url), Fernet(key)
    http = httpx.Client(timeout=_POST_S)

    def refresh(account_id: int) -> None:
        with client.lock(f"naive:lock:{account_id}", timeout=_LOCK_S), Session(engine) as session, session.begin():
            account = session.get_one(NaiveAccount, account_id)
            if account.expires_at > datetime.now(UTC):
                return
            form = {
                "grant_type": "refresh_token",
                "refresh_token": fernet.decrypt(account.refresh_token).decode(),
                "client_id": "naive",
                "client_secret": "naive-secret",
            }
            answer = http.post(token_url, data=form).raise_for_status().json()
            account.access_token = fernet.encrypt(answer["access_token"].encode())
            account.refresh_token = fernet.encrypt(answer.get("refresh_token", form["refresh_token"]).encode())
            account.expires_at = datetime.now(UTC) + timedelta(seconds=answer["expires_in"])
            account.refreshed_at = datetime.now(UTC)
            account.generation += 1
        client.xadd(_STREAM, {"account": account_id}, maxlen=10_000)

    broker = _broker(redis_url)
    dramatiq.actor(broker=broker, actor_name=_ACTOR, queue_name=_QUEUE)(refresh)
    worker = Worker(broker, worker_threads=_THREADS)
    worker.start()
    sys.stdout.write(f"ready {os.getpid()}\n")
    sys.stdout.flush()
    sys.stdin.read()
    worker.stop()


def _broker(redis_url: str) -> RedisBroker:
    broker: RedisBroker = RedisBroker(url=redis_url, namespace="naive")  # type: ignore[no-untyped-call]  # dramatiq leaves it untyped
    broker.declare_queue(_QUEUE)
    return broker


def _engine(database_url: str) -> Engine:
    return create_engine(make_url(database_url).set(drivername="postgresql+psycopg"), pool_size=_THREADS)


if __name__ == "__main__":
    _work(**json.loads(sys.stdin.readline()))
