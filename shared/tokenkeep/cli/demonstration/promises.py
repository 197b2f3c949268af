"""What has to be true after an incident, and whether it is: judged by figures, which come as arguments."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tokenkeep.adapters.demo_provider import Outcome, Presentation

_DISABLED = "tokenkeep.account.disabled"
_SPENT = {Outcome.GRANTED, Outcome.GRANTED_IN_GRACE}


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """An event as the feed tells it. `sequence` counts those of its subject."""

    id: str
    type: str
    subject: str
    sequence: int


@dataclass(slots=True)
class Calls:
    """How callers fared: tokens they were handed, how many of them the provider took, and how often they got none."""

    handed_out: int = 0
    taken: int = 0
    sent_away: int = 0


@dataclass(frozen=True, slots=True)
class Aftermath:
    """How everything stands when an incident is over.

    Attributes:
        presentations: Every presentation of a refresh token, as the provider saw it.
        states: The state of each account, by its user's name.
        ids: The id of each account, by its user's name.
        connected: How many accounts there were before it.
        left: The users who have really taken their grant back.
        some_believed: Whether others may be disabled too until the provider is no longer believed.
        usable: Of the accounts of those who have not: whether the provider took the token that was handed out at the end.
        calls: How callers fared all the while.
        all_served: Whether none of them may be sent away.
        told: The events of the source and its accounts since the beginning, in the feed's order.
        heard: The ids of the stream's events, by subject, in order.
        sign: The metric by which it was to be seen.
        was_seen: Whether it was.
        is_gone: Whether it is no more.
    """

    presentations: Sequence[Presentation]
    states: Mapping[str, str]
    ids: Mapping[str, str]
    connected: int
    left: frozenset[str]
    some_believed: bool
    usable: Mapping[str, bool]
    calls: Calls
    all_served: bool
    told: Sequence[ToldEvent]
    heard: Mapping[str, Sequence[str]]
    sign: str
    was_seen: bool
    is_gone: bool


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise, whether it was kept, and the figures that say so."""

    words: str
    kept: bool
    figures: str


def judge(aftermath: Aftermath) -> tuple[Promise, ...]:
    """All promises, in the order in which they matter."""
    promises = [_never_twice(aftermath), _nobody_wrongly(aftermath)]
    if aftermath.left:
        promises.append(_who_left(aftermath))
    promises.append(_usable(aftermath))
    if aftermath.all_served:
        promises.append(_served(aftermath))
    return (*promises, _told_in_order(aftermath), _told_by_the_stream(aftermath), _seen(aftermath))


def _never_twice(aftermath: Aftermath) -> Promise:
    presented = {one.fingerprint for one in aftermath.presentations}
    spent = Counter(one.fingerprint for one in aftermath.presentations if one.outcome in _SPENT)
    reused = sum(one.outcome is Outcome.REUSED for one in aftermath.presentations)
    twice = sum(count > 1 for count in spent.values()) + reused
    figures = f"{len(presented)} presented, {len(spent)} spent, {twice} spent again"
    return Promise("no refresh token is spent twice", twice == 0, figures)


def _nobody_wrongly(aftermath: Aftermath) -> Promise:
    stayed = {name: state for name, state in aftermath.states.items() if name not in aftermath.left}
    active, expected = sum(state == "active" for state in stayed.values()), aftermath.connected - len(aftermath.left)
    ids = {aftermath.ids[name] for name in stayed}
    disabled = {one.subject for one in aftermath.told if one.type == _DISABLED and one.subject in ids}
    kept = active == expected and (aftermath.some_believed or not disabled)
    figures = f"{active} of {expected} accounts are active, {len(disabled)} disabled meanwhile"
    return Promise("nobody is disabled for somebody else's fault", kept, figures)


def _who_left(aftermath: Aftermath) -> Promise:
    """The last of their events tells it, so it was told once since they were last active."""
    ids = {aftermath.ids.get(name) for name in aftermath.left}
    disabled = sum(aftermath.states.get(name) == "disabled" for name in aftermath.left)
    last = {one.subject: one.type for one in aftermath.told}
    told = sum(last.get(subject or "") == _DISABLED for subject in ids)
    kept = disabled == told == len(aftermath.left)
    return Promise(
        "whoever revoked is disabled, and it is told",
        kept,
        f"{disabled} of {len(aftermath.left)} are disabled, {told} told as their latest event",
    )


def _usable(aftermath: Aftermath) -> Promise:
    """All the while, and for each account at the end."""
    usable, calls = sum(aftermath.usable.values()), aftermath.calls
    kept = usable == len(aftermath.usable) and calls.taken == calls.handed_out
    figures = (
        f"the provider took {calls.taken} of {calls.handed_out}, and at the end those of {usable} of "
        f"{len(aftermath.usable)} accounts; {calls.sent_away} callers got none"
    )
    return Promise("a token that is handed out works", kept, figures)


def _served(aftermath: Aftermath) -> Promise:
    calls = aftermath.calls
    asked = calls.handed_out + calls.sent_away
    kept = calls.sent_away == 0 and asked > 0
    return Promise("callers get tokens all the while", kept, f"{calls.handed_out} of {asked} calls")


def _told_in_order(aftermath: Aftermath) -> Promise:
    """No gap, no repetition, and no account disabled that was not active, nor enabled that was not disabled."""
    sequences: dict[str, list[int]] = {subject: [] for subject in aftermath.ids.values()}
    types: dict[str, list[str]] = {}
    for one in aftermath.told:
        sequences.setdefault(one.subject, []).append(one.sequence)
        types.setdefault(one.subject, []).append(one.type.rpartition(".")[2])
    out_of_order = sum(numbers != list(range(1, len(numbers) + 1)) or not numbers for numbers in sequences.values())
    repeated = sum(_changes_repeat(names) for names in types.values())
    return Promise(
        "every change is told once, in order",
        out_of_order == repeated == 0,
        f"{len(aftermath.told)} events, {out_of_order + repeated} of {len(sequences)} subjects out of order",
    )


def _changes_repeat(names: Sequence[str]) -> bool:
    """Whether a change is told twice with no change back between."""
    for pair in ({"disabled", "enabled"}, {"paused", "resumed"}):
        ours = [name for name in names if name in pair]
        if any(first == second for first, second in itertools.pairwise(ours)):
            return True
    return False


def _told_by_the_stream(aftermath: Aftermath) -> Promise:
    told: dict[str, list[str]] = {}
    for one in aftermath.told:
        told.setdefault(one.subject, []).append(one.id)
    same = sum(list(aftermath.heard.get(subject, ())) == ids for subject, ids in told.items())
    figures = f"{sum(map(len, aftermath.heard.values()))} events, the same as the database's for {same} of {len(told)}"
    return Promise("the stream tells all of it, in order", same == len(told), figures)


def _seen(aftermath: Aftermath) -> Promise:
    figures = f"{aftermath.sign} {'showed it' if aftermath.was_seen else 'did not show it'}"
    ended = "and shows it no more" if aftermath.is_gone else "and still does"
    return Promise(
        "it is to be seen while it lasts, and no longer",
        aftermath.was_seen and aftermath.is_gone,
        f"{figures}, {ended}" if aftermath.was_seen else figures,
    )
