"""Derives the pages of docs/reference whose words stand in the code. `make reference` writes them; a test holds them to it."""
