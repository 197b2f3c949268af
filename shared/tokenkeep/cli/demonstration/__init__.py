"""What `tokenkeep demo` is made of: a provider of its own, a client of the HTTP API, a subscriber, and a screen."""
