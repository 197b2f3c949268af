"""Nango's connections, fetched and written as lines for `tokenkeep accounts import`. Standard library only.

    NANGO_SECRET_KEY=… python nango_accounts.py fetch quickbooks > connections.ndjson
    python nango_accounts.py convert --property realmId connections.ndjson > accounts.ndjson

`fetch` asks Nango for each connection of one integration, one after another, with its refresh token; Nango refreshes what has run out as it is asked.
`convert` writes a line for each. Both name what they leave out on standard error, with the reason, and end with 1 then. Both outputs hold secrets: `umask 077` first.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

Document = dict[str, Any]

NANGO = "https://api.nango.dev"
PAGE = 100
MOST_PAGES = 10_000
DEADLINE_S = 60


class NotTaken(Exception):
    """Why a connection is left out."""


def fetched(nango: str, key: str, integration: str, left: list[str]) -> Iterator[Document]:
    """Each connection of an integration, with its credentials. Those that Nango can't give are named in `left`, with its status."""
    seen: set[str] = set()
    for number in range(MOST_PAGES):
        page = ask(nango, key, "/connections", integrationId=integration, limit=PAGE, page=number)["connections"]
        # A server that knows no pages or no filter tells all there are, again and again, or those of other integrations too.
        fresh = [one for one in page if one["provider_config_key"] == integration and one["connection_id"] not in seen]
        for connection_id in (one["connection_id"] for one in fresh):
            seen.add(connection_id)
            path = f"/connections/{quote(connection_id, safe='')}"
            try:
                yield ask(nango, key, path, provider_config_key=integration, refresh_token="true")
            except HTTPError as error:
                left.append(f"{connection_id}: HTTP {error.code}")
        if len(page) < PAGE or (number and not fresh):
            return


def ask(nango: str, key: str, path: str, **query: object) -> Any:
    """The answer to one GET."""
    request = Request(f"{nango}{path}?{urlencode(query)}", headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - the address is the operator's own
    with urlopen(request, timeout=DEADLINE_S) as answer:  # noqa: S310 - as above
        return json.load(answer)


def account(connection: Document, properties: Iterable[str]) -> Document:
    """A line of the import.

    Raises:
        NotTaken: There is nothing in it that could be taken over.
    """
    config = connection.get("connection_config") or {}
    return {
        "external_id": (connection.get("end_user") or {}).get("id") or connection["connection_id"],
        "credentials": credentials(connection["credentials"]),
        "metadata": {"nango_connection_id": connection["connection_id"], **texts(connection.get("metadata") or {})},
        "properties": {name: str(config[name]) for name in properties if name in config},
    }


def credentials(given: Document) -> Document:
    """The credentials of a connection, in tokenkeep's words."""
    match given.get("type"):
        case "OAUTH2":
            scope = (given.get("raw") or {}).get("scope")
            found = {name: given.get(name) for name in ("access_token", "refresh_token", "expires_at")}
            found["scopes"] = [one for one in re.split(r"[ ,]+", scope) if one] if isinstance(scope, str) else None
            return {name: value for name, value in found.items() if value is not None}
        case "OAUTH1":
            return {name: given[name] for name in ("oauth_token", "oauth_token_secret")}
        case "API_KEY":
            return {"api_key": given["apiKey"]}
        case "BASIC":
            return {name: given[name] for name in ("username", "password")}
        case other:
            reason = f"{other}: make it with POST /v1/accounts"
            raise NotTaken(reason)


def texts(metadata: Document) -> dict[str, str]:
    """Metadata whose values are texts, as tokenkeep has them."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}


def converted(lines: Iterable[str], properties: Iterable[str], left: list[str]) -> Iterator[Document]:
    """The lines of the import. What can't be taken over is named in `left`, with the reason."""
    wanted = tuple(properties)
    for line in filter(str.strip, lines):
        connection = json.loads(line)
        try:
            yield account(connection, wanted)
        except (NotTaken, KeyError) as error:
            # A KeyError names the member that is missing, and no value.
            left.append(f"{connection.get('connection_id')}: {error}")


def main() -> int:
    """Do one of the two; 1 if anything was left out."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = described.add_subparsers(dest="command", required=True)
    fetch = commands.add_parser("fetch", help="connections with their credentials, one a line")
    fetch.add_argument("integration", help="Nango's integration id (provider_config_key)")
    fetch.add_argument("--nango", default=NANGO, metavar="URL", help=f"default: {NANGO}")
    convert = commands.add_parser("convert", help="lines for `tokenkeep accounts import`")
    convert.add_argument(
        "--property", action="append", default=[], metavar="NAME", help="of connection_config; may be repeated"
    )
    convert.add_argument("file", type=argparse.FileType(encoding="utf-8"))
    given = described.parse_args()
    left: list[str] = []
    if given.command == "fetch":
        key = os.environ["NANGO_SECRET_KEY"]
        try:
            for connection in fetched(given.nango.rstrip("/"), key, given.integration, left):
                print(json.dumps(connection), flush=True)
        except HTTPError as error:
            left.append(f"the list of connections: HTTP {error.code}")
    else:
        for one in converted(given.file, given.property, left):
            print(json.dumps(one))
    for line in left:
        print(line, file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
