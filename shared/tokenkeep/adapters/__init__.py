"""What touches the world: databases, Redis, token endpoints, keys, logs."""
