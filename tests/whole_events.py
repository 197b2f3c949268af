"""Events of made-up accounts, with all that their schema wants."""

from dataclasses import replace
from uuid import UUID

from feeding import happened
from tokenkeep.domain.events import Event


def whole_event(environment: str, sequence: int, subject: UUID) -> Event:
    """The account's event of this number."""
    about = {"account_id": f"acc_{subject.hex}", "source_id": f"src_{subject.hex}", "provider": "made-up"}
    state = {"environment": environment, "external_id": None, "state": "active"}
    return replace(happened(environment, sequence, subject), data={**about, **state})
