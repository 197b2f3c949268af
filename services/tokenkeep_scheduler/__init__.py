"""The scheduler: finds what is due and says so, looks after leases, relays events. It can't decrypt anything."""
