"""The private keys that clients prove themselves with: read, and signed with."""
