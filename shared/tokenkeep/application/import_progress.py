"""How far an import has come, and what became of its lines: what makes it possible to go on with one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from tokenkeep.domain.credential import SealedKey

DIGEST_BYTES = 16


class LineStatus(StrEnum):
    """What became of a line."""

    CREATED = "created"
    EXISTS = "exists"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a line was rejected, in the words of a problem document. Quotes nothing of the line."""

    code: str
    detail: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class LineResult:
    """What became of a line. `account_id` is an account's public id, if it is of the environment; without one there is a refusal."""

    line: int
    status: LineStatus
    account_id: str | None = None
    refusal: Refusal | None = None

    def document(self) -> dict[str, Any]:
        """The line's result as the contract writes it."""
        document: dict[str, Any] = {"line": self.line, "status": self.status.value}
        if self.account_id is not None:
            document["id"] = self.account_id
        if self.refusal is not None:
            document |= {"code": self.refusal.code, "detail": self.refusal.detail}
            if self.refusal.field is not None:
                document["field"] = self.refusal.field
        return document


@dataclass(frozen=True, slots=True)
class ImportChunk:
    """Lines that were done in one transaction: for each its digest, end to end, and its result."""

    first_line: int
    digests: bytes
    results: str

    @property
    def end(self) -> int:
        """The number of the line after its last one."""
        return self.first_line + len(self.digests) // DIGEST_BYTES

    def digest_of(self, line: int) -> bytes:
        """The digest of one of its lines."""
        start = (line - self.first_line) * DIGEST_BYTES
        return self.digests[start : start + DIGEST_BYTES]


@dataclass(frozen=True, slots=True)
class NewImport:
    """An import that a request begins or goes on with. `holder` stands for the request."""

    id: UUID
    environment: str
    key: str | None
    source: str | None
    holder: UUID
    sealed_key: SealedKey
    digest_key: bytes


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """An import as it stands when a request takes it over. `lines` are done, `digest_key` is sealed."""

    id: UUID
    lines: int
    overdue: int
    finished: bool
    began_at: datetime
    sealed_key: SealedKey
    digest_key: bytes


def written(results: Sequence[LineResult]) -> str:
    """Results as they are kept, the lines' numbers aside."""
    rows = []
    for one in results:
        refusal = one.refusal
        reason = [None] * 3 if refusal is None else [refusal.code, refusal.detail, refusal.field]
        rows.append([one.status.value, one.account_id, *reason])
    return json.dumps(rows, separators=(",", ":"))


def read(chunk: ImportChunk) -> list[LineResult]:
    """The results that a chunk keeps."""
    return [
        LineResult(line, LineStatus(status), account_id, None if code is None else Refusal(code, detail, field))
        for line, (status, account_id, code, detail, field) in enumerate(json.loads(chunk.results), chunk.first_line)
    ]
