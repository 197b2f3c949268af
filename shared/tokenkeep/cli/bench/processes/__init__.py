"""Many workers and schedulers over one database: what they do together, and what a refresh then costs the machine."""
