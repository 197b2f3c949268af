"""Reads of tokens that are in store: how many a second, and how long each takes."""
