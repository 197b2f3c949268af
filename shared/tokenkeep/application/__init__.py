"""Use-cases: each reads, has the domain decide, and writes, over ports that the adapters fill."""
