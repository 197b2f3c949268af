"""How well the classifier reads a corpus of answers that people have labelled."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.answer_body import read_body
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.meaning import Meaning
from tokenkeep.providers.reading import read_answer

_CORPUS = ("collected.jsonl", "further.jsonl", "unheard.jsonl")


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """One line of a corpus. `line` counts from 1; `provider` is a slug, which the catalogue may not have."""

    line: int
    provider: str
    answer: Answer
    label: Meaning


@dataclass(frozen=True, slots=True)
class Read:
    """What the classifier said of a labelled answer."""

    of: LabelledAnswer
    said: Meaning

    @property
    def is_exact(self) -> bool:
        """Whether it said what the label says."""
        return self.said is self.of.label

    @property
    def is_hard_miss(self) -> bool:
        """Whether the miss costs something: a living account disabled, rubbish stored, or a token set thrown away."""
        return not self.is_exact and (self.said is Meaning.REVOKED or Meaning.OK in {self.said, self.of.label})


@dataclass(frozen=True, slots=True)
class Score:
    """All that was read."""

    reads: tuple[Read, ...]

    @property
    def exact(self) -> int:
        """How many were read as labelled."""
        return sum(read.is_exact for read in self.reads)

    @property
    def missed(self) -> tuple[Read, ...]:
        """Those that were not, the hard misses first."""
        return tuple(sorted((read for read in self.reads if not read.is_exact), key=lambda read: not read.is_hard_miss))

    @property
    def hard_misses(self) -> int:
        """How many misses cost something."""
        return sum(read.is_hard_miss for read in self.reads)

    def table(self) -> Mapping[Meaning, Mapping[Meaning, int]]:
        """For each label, how often each meaning was said."""
        return {
            label: {said: sum(it.of.label is label and it.said is said for it in self.reads) for said in Meaning}
            for label in Meaning
        }


def score(answers: Iterable[LabelledAnswer], catalogue: Catalogue) -> Score:
    """Read each answer by its provider's own rules, or by the general ones where the catalogue has no such provider."""
    return Score(tuple(Read(it, _said(it, catalogue)) for it in answers))


def built_in_corpus() -> Iterator[LabelledAnswer]:
    """The answers that come with tokenkeep."""
    for name in _CORPUS:
        text = resources.files(__package__).joinpath("corpus", name).read_text(encoding="utf-8")
        yield from read_corpus(text.splitlines())


def read_corpus(lines: Iterable[str]) -> Iterator[LabelledAnswer]:
    """The answers of a corpus in JSON lines: `provider`, `http_status`, `headers`, `body`, `verdict`.

    Raises:
        InvalidInput: A line is not such an object; the field is `line` and its number.
    """
    for number, text in enumerate(lines, start=1):
        if text.strip():
            yield _labelled(number, text)


def _labelled(number: int, text: str) -> LabelledAnswer:
    try:
        said = json.loads(text)
        headers = {str(name).lower(): str(value) for name, value in (said.get("headers") or {}).items()}
        answer = Answer(int(said["http_status"]), headers, str(said.get("body") or "").encode(errors="replace"))
        return LabelledAnswer(number, str(said["provider"]), answer, Meaning(said["verdict"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        detail = f"no labelled answer: {type(error).__name__}: {error}"
        raise InvalidInput(f"line {number}", detail) from None


def _said(it: LabelledAnswer, catalogue: Catalogue) -> Meaning:
    provider = catalogue.providers.get(it.provider)
    body = read_body(it.answer.body)
    if provider is None:
        return read_answer(it.answer, body).meaning
    return read_answer(it.answer, body, token_path=provider.access_token_path, rules=provider.answers).meaning
