"""Calls a provider's API with an account's credentials: python call_api.py URL, with TOKENKEEP_URL, TOKENKEEP_KEY and ACCOUNT set."""

import os
import sys

import httpx

from tokenkeep.client import ReauthorizationRequired, Tokenkeep, TokenkeepAuth, TokenUnavailable


def main(url: str) -> int:
    """Ask, and say what came of it."""
    address = httpx.URL(url)
    origin = f"{address.scheme}://{address.netloc.decode()}"
    with Tokenkeep(os.environ["TOKENKEEP_URL"], os.environ["TOKENKEEP_KEY"]) as client:
        auth = TokenkeepAuth(client, os.environ["ACCOUNT"], origins=[origin])
        with httpx.Client(auth=auth, timeout=10) as api:
            try:
                answer = api.get(url)
            except ReauthorizationRequired as gone:
                print("send the user to", gone.connect_url)
                return 1
            except TokenUnavailable as away:
                print("try again in", away.retry_after, "seconds:", away.reason)
                return 1
    print(answer.status_code, answer.text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
