"""Encryption of what is stored: a keyring, and the vault that seals each field to its row."""
