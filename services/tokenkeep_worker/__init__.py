"""The worker: takes hints from the queues and refreshes. The only process that spends refresh tokens."""
