"""What a provider's server gets: a form, posted."""

import asyncio
from dataclasses import dataclass
from urllib.parse import parse_qs


@dataclass(frozen=True)
class FormPost:
    """One request: its headers in lower case, and its form, each field by its first value."""

    headers: dict[str, str]
    form: dict[str, str]


async def read_form_post(reader: asyncio.StreamReader) -> FormPost:
    """The next request on a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    named = (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    headers = {name.lower(): value for name, value in named}
    form = parse_qs((await reader.readexactly(int(headers["content-length"]))).decode())
    return FormPost(headers, {name: values[0] for name, values in form.items()})
