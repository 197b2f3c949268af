"""How fast accounts are taken in by the thousand."""
