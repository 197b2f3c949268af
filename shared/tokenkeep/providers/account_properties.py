"""What an account says of itself besides its credentials: what stands in its provider's addresses as `{name}`."""

import re
from collections.abc import Mapping
from typing import Any

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.providers.entry import Holder, Property, Provider


def account_properties(provider: Provider) -> tuple[Property, ...]:
    """The properties that each account has its own of."""
    return tuple(it for it in provider.placeholders if it.holder is Holder.ACCOUNT)


def check_account_properties(provider: Provider, properties: Mapping[str, Any]) -> None:
    """See that every property is known, and that its pattern matches all of it. What is missing may still come.

    Raises:
        InvalidInput: One is not; the field is `properties.` and its name.
    """
    known = {it.name: it for it in account_properties(provider)}
    for name, value in properties.items():
        if name not in known:
            raise InvalidInput(f"properties.{name}", f"accounts of {provider.slug} have no such property")
        pattern = known[name].pattern
        if not isinstance(value, str) or not value.isprintable() or not re.fullmatch(pattern, value):
            raise InvalidInput(f"properties.{name}", f"expected a text that matches {pattern}")


def missing_properties(provider: Provider, properties: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of properties that an account must have and has not."""
    return tuple(name for name in required_properties(provider) if not properties.get(name))


def required_properties(provider: Provider) -> tuple[str, ...]:
    """The names of properties without which an account can't be used."""
    return tuple(it.name for it in account_properties(provider) if it.required and it.default is None)
