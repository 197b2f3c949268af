"""What the commands over the HTTP API share: where it is, calls of it, what it refuses, what is printed."""
