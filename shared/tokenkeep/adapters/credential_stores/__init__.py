"""Credential stores: a directory, HashiCorp Vault, and what installed packages bring."""
