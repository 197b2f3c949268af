"""The way of events from a commit to the Redis stream."""
