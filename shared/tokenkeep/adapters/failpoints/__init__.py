"""Faults on purpose: named places in a refresh where a process can be made to die, fail or stand still.

Only `TOKENKEEP_FAILPOINTS` arms them; without it the ports are wired bare and nothing here runs. The use-cases know nothing
of failpoints: their ports are wrapped, and the port's method that is called tells which step of the protocol it is.

    TOKENKEEP_FAILPOINTS="settle.uncommitted=kill@3,sent=pause:40"

An entry is `point=action`, with `@N` behind it for the N-th time that the point is reached (the first, if left out), and
`@N+` for the N-th time and all after it. The same point may be named more than once.

    kill             SIGKILL to ourselves
    raise            an exception, `FailedOnPurpose`
    stop             SIGSTOP to ourselves, until somebody sends SIGCONT
    pause:SECONDS    the whole process stands still, as in a long garbage collection

Of a worker, in the order of a refresh (custody protocol, S0 to S8):

    lock.before, lock.taken                          around the custody lock
    lease.uncommitted, lease.committed               S1, when it leased somebody
    connect.before, connected                        S3
    write_ahead.uncommitted, write_ahead.committed   S4; the second is the last place before the token leaves
    sent                                             S5, S6: the request's last byte is written, the answer not read
    answered                                         S6: the answer is read, or known to be lost; nothing is settled
    settle.uncommitted, settle.committed             S7
    spool.before, spooled                            around the file of an answer that the database can't take
    release.before, released                         S8, around giving the lock of a refreshed account back

Refreshers (`domain.refresher`) connect and send as they like: of connect.before to answered, theirs is the last alone.

Of a scheduler:

    claimed                                due accounts are claimed, and not enqueued
    enqueued                               a message is in the queue
    relay.read, relay.published            events are read from the outbox; they are in the stream, not yet marked delivered
    sweep.uncommitted, sweep.committed     S9, when it took somebody over
"""
