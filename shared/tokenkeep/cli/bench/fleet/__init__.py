"""`tokenkeep bench fleet`: a fleet of millions through a day, and through some minutes at real rate."""
