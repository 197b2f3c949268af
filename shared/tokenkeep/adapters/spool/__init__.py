"""The spool: sealed answers on a disk of the process's own, until the database has them."""
