"""What the processes' own metrics say, asked as Prometheus asks them."""

from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.incidents import Sign

_TIMEOUT_S = 5.0


class Figures:
    """The `/metrics` of the household's processes."""

    def __init__(self, http: httpx.AsyncClient, places: Mapping[str, str], *, source_id: str) -> None:
        self._http = http
        self._places = places
        self._source_id = source_id

    async def shown(self, sign: Sign) -> float | None:
        """The highest value that stands there for it; None if there is none that makes it one.

        Raises:
            DemoFailure: The process does not answer.
        """
        wanted = {**sign.labels, **({"source": self._source_id} if sign.of_source else {})}
        text = await self._text(sign.process)
        values = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == sign.metric and wanted.items() <= sample.labels.items() and sample.value > sign.above
        ]
        return max(values, default=None)

    def place_of(self, sign: Sign) -> str:
        """Where it is shown."""
        return f"{self._places[sign.process]}/metrics ({sign.process})"

    def name_of(self, sign: Sign) -> str:
        """The metric as one would look for it."""
        labels = {**sign.labels, **({"source": self._source_id} if sign.of_source else {})}
        inner = ",".join(f'{name}="{value}"' for name, value in labels.items())
        return f"{sign.metric}{{{inner}}}" if inner else sign.metric

    async def _text(self, process: str) -> str:
        try:
            answer = await self._http.get(f"{self._places[process]}/metrics", timeout=_TIMEOUT_S)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            msg = f"the {process}'s metrics can't be had: {type(error).__name__}"
            raise DemoFailure(msg) from None
        return answer.text
