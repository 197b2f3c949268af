"""`tokenkeep doctor`: looks at an installation from where it is run, and says what to do about what it finds."""
