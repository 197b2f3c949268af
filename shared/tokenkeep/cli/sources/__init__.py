"""`tokenkeep sources`: providers configured with one's own client, over the HTTP API."""
