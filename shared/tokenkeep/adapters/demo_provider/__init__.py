"""A small OAuth 2 provider on this machine: for the demo, and for tests that want a real one.

Authlib's server side speaks the protocol; here are the store behind it, a consent page, a resource that takes the
tokens, and an admin side that sees what was presented and makes things go wrong. It believes whoever says who they
are and its admin side asks for no key, so it listens on loopback only.

    DemoProvider(ProviderOptions(token_lifetime_s=30))     the provider: an ASGI app and the admin's methods
    ProviderServer(provider, port=0)                       serves it from the running event loop
    python -m tokenkeep.adapters.demo_provider --port 0    the same as a process; prints its URL

What it shows of refresh tokens is their fingerprint: the first 16 hexadecimal digits of the SHA-256.
"""

from tokenkeep.adapters.demo_provider.faults import Fault, Moment
from tokenkeep.adapters.demo_provider.ledger import Grant, RevokedBecause
from tokenkeep.adapters.demo_provider.options import ProviderOptions
from tokenkeep.adapters.demo_provider.presentations import Outcome, Presentation, fingerprint
from tokenkeep.adapters.demo_provider.provider import Counters, DemoProvider
from tokenkeep.adapters.demo_provider.serving import ProviderServer

__all__ = [
    "Counters",
    "DemoProvider",
    "Fault",
    "Grant",
    "Moment",
    "Outcome",
    "Presentation",
    "ProviderOptions",
    "ProviderServer",
    "RevokedBecause",
    "fingerprint",
]
