"""`tokenkeep accounts`: accounts listed, shown, toggled, taken in and given out, over the HTTP API."""
