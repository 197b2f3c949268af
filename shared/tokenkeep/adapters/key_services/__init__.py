"""Key services: what encrypts the keys of the keyring at rest, and decrypts each once, when a process starts (ADR 0047)."""
