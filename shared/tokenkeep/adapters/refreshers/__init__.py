"""Refresh hooks: the refreshers that are installed beside tokenkeep, and the signatures of callouts."""
