"""Whether the keyring opens what is stored."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from tokenkeep.application.checkup.findings import Finding, fault, ok, unseen, warning

_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


@dataclass(frozen=True, slots=True)
class KeysInUse:
    """The ids of keys that rows of a table name. `whole`: all of its rows were looked at, and not a sample."""

    key_ids: frozenset[str]
    whole: bool


def judge_keyring(known: Collection[str], current: str, tables: Mapping[str, KeysInUse | None]) -> Iterator[Finding]:
    """What the tables say of these keys. None: the table could not be looked at in time."""
    yield ok("keyring.readable", f"{len(known)} {'key' if len(known) == 1 else 'keys'}; {current} seals what is new")
    used: dict[str, list[str]] = {}
    for table, found in tables.items():
        for key_id in () if found is None else found.key_ids:
            used.setdefault(key_id, []).append(table)
    missing = {key_id: where for key_id, where in used.items() if key_id not in known}
    for key_id, where in sorted(missing.items()):
        yield fault(
            "keyring.complete",
            f"rows of {', '.join(sorted(where))} are sealed under {_shown(key_id)}, which the keyring lacks",
            "put that key back into the keyring, from its backup: without it these rows can't be opened by anybody",
        )
    if not missing:
        sampled = [table for table, found in tables.items() if found is not None and not found.whole]
        seen = f"every key that rows name is there ({', '.join(sorted(used)) or 'no row names any'})"
        yield ok("keyring.complete", seen + (f"; of {', '.join(sampled)} a sample was looked at" if sampled else ""))
    late = [table for table, found in tables.items() if found is None]
    if late:
        yield unseen("keyring.complete", f"{', '.join(late)} could not be read in time")
    unused = [key_id for key_id in known if key_id not in used and key_id != current]
    former = sorted(key_id for key_id in used if key_id in known and key_id != current)
    if former:
        yield ok(
            "keyring.rotation",
            f"rows are still sealed under {', '.join(former)}: keep {'it' if len(former) == 1 else 'them'} in the keyring",
        )
    elif unused:
        yield ok(
            "keyring.rotation",
            f"{', '.join(unused)} seals nothing that was looked at; backups of the database may still need it",
        )
    elif len(known) == 1 and not used:
        yield ok("keyring.rotation", "nothing is sealed yet")


def judge_keyring_file(mode: int | None, directory_mode: int | None) -> Iterator[Finding]:
    """The modes of the keyring's file and of the directory that it lies in; None: it came in a variable."""
    if mode is None:
        yield warning(
            "keyring.place",
            "the keyring is in TOKENKEEP_KEYRING: whoever may list this process's environment has it, and a change takes a restart",
            "put it into a file of mode 0600 and name that by TOKENKEEP_KEYRING_FILE",
        )
        return
    if directory_mode is not None and directory_mode & 0o022 and not directory_mode & 0o1000:
        yield warning(
            "keyring.place",
            f"the file's mode is {mode:04o}, but others may write into its directory ({directory_mode:04o}), and so replace it",
            "take write permission on the directory from group and others",
        )
        return
    yield ok("keyring.place", f"a file of mode {mode:04o}")


def _shown(key_id: str) -> str:
    """An id, if it looks like one."""
    return key_id if _KEY_ID.fullmatch(key_id) else "a key of an unreadable name"
