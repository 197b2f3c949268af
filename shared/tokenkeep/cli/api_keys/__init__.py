"""`tokenkeep api-keys`: who may call, over the HTTP API."""
