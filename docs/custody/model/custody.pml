/*
 * custody.pml - the custody protocol of refresh tokens as an explicit-state model.
 *
 * One account, NW workers, a rotating provider, a linearizable database that may
 * be away, a Redis that is not trusted, kills (-9), pauses of any length (plain
 * interleaving), lost requests, lost answers, timeouts whose request is served
 * later, spurious refusals, and re-authorisation by the user at any moment.
 *
 * Times are not modelled. What the protocol buys with a waiting time stands here
 * as the condition that the waiting time makes true:
 *   quarantine        no request is outstanding any more            (NOREQ)
 *   unbroken watch    no live worker holds an unsettled answer      (NOHOLD)
 *   within the grace  the replaced token still works                (INGRACE)
 *
 * Switches
 *   NAIVE     0 the design   1 Redis lock only, no lease, no fence
 *             2 as 1, but the lock is looked at again before the write
 *   PROV      0 the refresh token is kept     1 strict, reuse revokes the grant
 *             2 grace, same successor         3 grace, newest successor wins
 *             4 strict, reuse is refused      5 as 3, but reuse is only refused
 *   REDIS     1 queue and lock are modelled (always when NAIVE)
 *             0 Redis is an adversary: any hint at any time, every lock granted
 *   LONGPAUSE 1 assumption A1 is broken: somebody is silent beyond the quarantine
 *   WATCH     which `sent` rows the sweeper frees only after its own watch
 *             0 strict kinds only   1 also grace kinds once the grace is over
 *             2 all kinds; where it does not watch, A1 alone stands for it: who holds
 *             an answer has settled it by then, but for an outage of the database
 *   GIVEUP    an account is given up after so many unanswered presentations + 1;
 *             undefined: never (silence never disables)
 *   STALE     0 the write-ahead sees one moment   1 it may read the credentials
 *             before it waits for the row, and compares   2 and does not compare
 *   RETRY     1 the holder presents once more under its lease, same successor only; the next
 *             refresh waits until the first request is surely over
 *             2 with any kind that has a grace   3 as 1, but the next refresh does not wait
 *   ORPHAN    1 a receipt that was not installed is tried before a disable
 *             2 on the first refusal, before it is confirmed   0 it is only kept
 *   CONFIRM   1 a refusal is believed when it is repeated
 *   SPOOL     what becomes of an answer that can't be committed and of its worker:
 *             0 it dies with the process   1 drained before the watch is over
 *             2 drained at any time
 *   SLOWKILL  1 nobody is killed in the milliseconds between answer and spool
 *   MIRROR    1 a database that went back in time is noticed by the mirror
 *   ABL       an ablation of one mechanism, 0 = none
 *   CHK_*     which assertions are on
 */
#ifndef NW
#define NW 2
#endif
#ifndef CYCLES
#define CYCLES 2           /* successful refreshes until the run is over       */
#endif
#ifndef PROV
#define PROV 1
#endif
#ifndef NAIVE
#define NAIVE 0
#endif
#ifndef REDIS
#define REDIS NAIVE
#endif
#ifndef LONGPAUSE
#define LONGPAUSE 0
#endif
#ifndef WATCH
#define WATCH 2
#endif
#ifndef STALE
#define STALE 0
#endif
#ifndef RETRY
#define RETRY 0
#endif
#ifndef ORPHAN
#define ORPHAN 0
#endif
#ifndef CONFIRM
#define CONFIRM 0
#endif
#ifndef SPOOL
#define SPOOL 1
#endif
#ifndef SLOWKILL
#define SLOWKILL 0
#endif
#ifndef MIRROR
#define MIRROR 0
#endif
#ifndef ABL
#define ABL 0
#endif
#ifndef MAXCRASH
#define MAXCRASH 1         /* kill -9 of a worker                              */
#endif
#ifndef MAXDROP
#define MAXDROP 1          /* request lost, answer lost, or timeout            */
#endif
#ifndef MAXEXP
#define MAXEXP 2           /* lease expiring under a live holder: pause, clock */
#endif
#ifndef MAXFLUSH
#define MAXFLUSH 1         /* Redis loses everything                           */
#endif
#ifndef MAXTTL
#define MAXTTL 1           /* Redis lock expiring under a live holder          */
#endif
#ifndef MAXDUP
#define MAXDUP 1           /* second message: on-demand caller, redelivery     */
#endif
#ifndef MAXREAUTH
#define MAXREAUTH 0        /* user authorises anew                             */
#endif
#ifndef MAXDB
#define MAXDB 0            /* database away for a while                        */
#endif
#ifndef MAXSPUR
#define MAXSPUR 0          /* invalid_grant for a token that is fine           */
#endif
#ifndef MAXBACK
#define MAXBACK 0          /* database restored from before the last install   */
#endif
#ifndef MAXMSG
#define MAXMSG 2
#endif

#ifdef CHK_I1
#define A_I1(c) assert(c)          /* one request outstanding for each grant   */
#else
#define A_I1(c) skip
#endif
#ifdef CHK_REUSE
#define A_REUSE(c) assert(c)       /* no used-up token is presented, unless its */
#else                              /* successor's answer was really lost        */
#define A_REUSE(c) skip
#endif
#ifdef CHK_I2
#define A_I2(c) assert(c)          /* what was received is durable             */
#else
#define A_I2(c) skip
#endif
#ifdef CHK_I3
#define A_I3(c) assert(c)          /* nothing younger is overwritten           */
#else
#define A_I3(c) skip
#endif
#ifdef CHK_I6
#define A_I6(c) assert(c)          /* nobody is disabled whose token works     */
#else
#define A_I6(c) skip
#endif
#ifdef CHK_I7
#define A_I7(c) assert(c)          /* an owed refresh is never forgotten       */
#else
#define A_I7(c) skip
#endif
#ifdef CHK_SENT
#define A_SENT(c) assert(c)        /* only the stored token is presented       */
#else
#define A_SENT(c) skip
#endif
#ifdef CHK_KEPT
#define A_KEPT(c) assert(c)        /* no grant dies at all                     */
#else
#define A_KEPT(c) skip
#endif

#if PROV == 2 || PROV == 3 || PROV == 5
#define GRACE 1
#else
#define GRACE 0
#endif
#if RETRY
#define NS (2 * NW)        /* the holder's second request has a slot of its own */
#else
#define NS NW
#endif
#ifdef GIVEUP
#define MOSTDOUBTS (GIVEUP + 1)
#else
#define MOSTDOUBTS 1
#endif

#define NTOK 12
mtype = { IDLE, LEASED, SENT, DOUBT };       /* phase of the attempt, in the database */
mtype = { FREE, REQ, ROK, RERR, GONE };      /* one HTTP exchange                     */

/* ---- provider: tokens are numbered in the order of issue ------------------- */
byte p_cur = 1, p_prev = 0, p_next = 2, p_base = 1;
bool p_grace = 0, p_dead = 0;

/* ---- database (each atomic block that writes is one commit) ----------------- */
byte  d_tok = 1;          /* installed refresh token                          */
byte  d_ifence = 0;       /* fence of the attempt that installed it           */
byte  d_fence = 0;        /* last fence handed out                            */
byte  d_epoch = 0;        /* bumped by re-authorisation and by deletion       */
mtype d_phase = IDLE;
byte  d_doubt = 0;        /* unanswered presentations of d_tok, up to MOSTDOUBTS */
bool  d_due = 1;          /* next_refresh_at has come and is not settled      */
bool  d_active = 1;
byte  d_done = 0;
bool  d_rcpt[NTOK];       /* received and durable                             */
#if ORPHAN || defined(KEEPORPHAN)
#define ORPHANS 1
byte  d_gen = 1, o_tok = 0, o_gen = 0, o_fence = 0;   /* the newest orphan receipt */
#else
#define ORPHANS 0
#endif
#if CONFIRM
bool  d_susp = 0;         /* refused once                                     */
#endif
#if MAXDB
bool  d_up = 1;
#define DOWN (!d_up)
#else
#define d_up 1
#define DOWN 0
#endif
#if MAXBACK
byte  d_count = 0, b_tok = 1, b_count = 0, m_count = 0;  /* installs: now, before the last, by the mirror */
bool  d_paused = 0;       /* rollback: an operator decides                    */
#endif

/* ---- Redis -------------------------------------------------------------------- */
byte r_lock = 0;          /* 0 = free, else owner + 1                         */
byte r_msg = 0;

/* ---- network: a slot for each worker, two where it may present again ------------ */
mtype s_st[NS] = FREE;
byte  s_tok[NS], s_k[NS];
byte  s_ep[NS];           /* ghost: grant (epoch) this exchange belongs to    */
bool  s_orph[NS];         /* nobody waits for this answer any more            */

/* ---- budgets and ghosts ---------------------------------------------------------- */
byte  n_crash = 0, n_drop = 0, n_flush = 0, n_reauth = 0, n_ttl = 0, n_exp = 0, n_dup = 0, n_db = 0, n_spur = 0, n_back = 0;
bool  g_lost = 0;         /* an answer with a successor was lost, and no newest
                             token has been installed since                   */
bool  w_hold[NW];         /* between its POST and its settle, or in its spool */
bool  w_send[NW];         /* between its write-ahead and its POST             */
byte  w_f[NW];            /* fence held by a live worker, 0 = none            */
bool  w_busy[NW];         /* worker has taken a message (REDIS only)          */
bool  w_out[NW];          /* the database was away while the worker held      */

#define W1 (1 % NW)
#define W2 (2 % NW)
#define NOHOLD  (!w_hold[0] && !w_hold[W1] && !w_hold[W2])
#define EXCUSED(w) (!w_hold[w] || w_out[w])
#define LATEONLY (EXCUSED(0) && EXCUSED(W1) && EXCUSED(W2))   /* A1: only an outage keeps a holder from settling */
#define NOSEND  (!w_send[0] && !w_send[W1] && !w_send[W2])
#define LATE(w) (w_hold[w] && (w_f[w] != d_fence || RETRY))
#define NOLATE  (!LATE(0) && !LATE(W1) && !LATE(W2))
#define Q(s)    (s_st[(s) % NS] != REQ)
/* an unread answer counts as outstanding, except where a second presentation beside it does no harm */
#define OPEN(s) (GRACE && WATCH < 2 -> s_st[(s) % NS] == REQ : s_st[(s) % NS] != FREE)
#define OUT(s, e) (OPEN(s) && s_ep[(s) % NS] == e)
#if RETRY
#define NOREQ   (Q(0) && Q(1) && Q(2) && Q(3))
#define NOOUT(e) (!OUT(0, e) && !OUT(1, e) && !OUT(2, e) && !OUT(3, e))
#else
#define NOREQ   (Q(0) && Q(1) && Q(2))
#define NOOUT(e) (!OUT(0, e) && !OUT(1, e) && !OUT(2, e))
#endif
#define HELD    (w_f[0] == d_fence || w_f[W1] == d_fence || w_f[W2] == d_fence)
#define ANYBUSY (w_busy[0] || w_busy[W1] || w_busy[W2])
#define VALID(t) (!p_dead && ((t) == p_cur || (GRACE && p_grace && (t) == p_prev)))
#define INGRACE (p_grace || d_tok == p_cur)
#define SPENT(r) ((r) == ROK && PROV != 0)

inline serve(i)           /* one token request as the provider sees it */
{
  if
  :: p_dead || s_tok[i] < p_base -> s_st[i] = RERR        /* invalid_grant */
  :: else ->
     if
     :: PROV == 0 -> s_k[i] = s_tok[i]; s_st[i] = ROK
     :: PROV != 0 && s_tok[i] == p_cur ->
          p_prev = (GRACE -> p_cur : 0); p_cur = p_next; p_next++; p_grace = GRACE;
          s_k[i] = p_cur; s_st[i] = ROK; printf("  provider: token %d -> new token %d\n", s_tok[i], p_cur)
     :: PROV == 2 && s_tok[i] == p_prev && p_grace -> s_k[i] = p_cur; s_st[i] = ROK;
          printf("  provider: token %d again, in grace -> same token %d\n", s_tok[i], p_cur)
     :: (PROV == 3 || PROV == 5) && s_tok[i] == p_prev && p_grace ->
          p_cur = p_next; p_next++; s_k[i] = p_cur; s_st[i] = ROK;
          printf("  provider: token %d again, in grace -> newer token %d\n", s_tok[i], p_cur)
     :: PROV != 0 && s_tok[i] != p_cur && !(GRACE && s_tok[i] == p_prev && p_grace) ->
          A_REUSE(g_lost); s_st[i] = RERR;
          if
          :: PROV >= 4 -> printf("  provider: token %d is used up -> refused\n", s_tok[i])
          :: PROV < 4 -> printf("  provider: token %d is used up -> REUSE, grant revoked\n", s_tok[i]);
               A_KEPT(false); p_dead = 1; p_grace = 0; p_prev = 0
          fi
     fi
  fi;
  s_tok[i] = 0
}

active [NS] proctype Net()
{
  byte i; i = _pid % NS;
  do
  :: atomic { s_st[i] == REQ && n_drop < MAXDROP -> n_drop++; s_tok[i] = 0; printf("  network: request of w%d lost\n", i % NW);
       if :: s_orph[i] -> s_st[i] = FREE; s_orph[i] = 0 :: else -> s_st[i] = GONE fi }
#if MAXSPUR
  :: atomic { s_st[i] == REQ && n_spur < MAXSPUR && VALID(s_tok[i]) -> n_spur++; printf("  provider: token %d refused for no reason\n", s_tok[i]);
       s_tok[i] = 0;
       if :: s_orph[i] -> s_st[i] = FREE; s_orph[i] = 0 :: else -> s_st[i] = RERR fi }
#endif
  :: atomic { s_st[i] == REQ -> serve(i);
       if
       :: s_orph[i] -> g_lost = (g_lost || SPENT(s_st[i]));
            s_st[i] = FREE; s_orph[i] = 0; s_k[i] = 0
       :: !s_orph[i] -> skip
       :: !s_orph[i] && n_drop < MAXDROP -> n_drop++; printf("  network: answer to w%d lost\n", i % NW);
            g_lost = (g_lost || SPENT(s_st[i])); s_st[i] = GONE; s_k[i] = 0
       fi }
  od
}

#if GRACE
/* The grace may end at any moment. Only where a sweeper trusts in it (WATCH < 2) it matters that it is long: while
   the database is there, nobody keeps an answer until it is over, and a presentation begun in it ends in it.     */
#define MAYEND (NAIVE || LONGPAUSE || (WATCH == 2 && !RETRY) || (NOSEND && NOREQ && (NOLATE || DOWN)))
active proctype GraceTimer()
{ do :: atomic { p_grace && MAYEND -> p_grace = 0; p_prev = 0; printf("  provider: grace over\n") } od }
#endif

#if MAXDB
active proctype Outage()
{ do
  :: atomic { d_up && n_db < MAXDB -> n_db++; d_up = 0;
       w_out[0] = w_hold[0]; w_out[W1] = w_hold[W1]; w_out[W2] = w_hold[W2]; printf("  database: away\n") }
  :: atomic { !d_up -> d_up = 1; printf("  database: back\n") }
  od
}
#endif

#if MAXBACK
/* Restored, or failed over to a standby that had not heard of the last install. */
active proctype Restore()
{ do
  :: atomic { n_back < MAXBACK && d_count > b_count && NOHOLD && NOREQ && NOSEND && d_phase == IDLE ->
       n_back++; d_tok = b_tok; d_count = b_count; d_fence++; d_ifence = d_fence; d_doubt = 0; d_done--; d_due = 1; d_active = 1;
       printf("  database: restored, token %d\n", d_tok) }
  od
}
#endif

#if REDIS
active proctype RedisFaults()
{ do
  :: atomic { r_lock && (n_ttl < MAXTTL || !w_busy[r_lock - 1]) ->
       n_ttl = (w_busy[r_lock - 1] -> n_ttl + 1 : n_ttl); printf("  redis: lock of w%d expires\n", r_lock - 1); r_lock = 0 }
  :: atomic { n_dup < MAXDUP && d_active && d_done < CYCLES && r_msg < MAXMSG -> n_dup++; r_msg++ }
  :: atomic { n_flush < MAXFLUSH && (r_lock || r_msg > 0) -> n_flush++; r_lock = 0; r_msg = 0; printf("  redis: everything lost\n") }
  od
}
active proctype Scheduler()
{ do
#if NAIVE || ABL == 6
  :: atomic { d_active && d_due && r_msg < MAXMSG -> r_msg++; d_due = 0 }
#else
  :: atomic { d_active && d_due && r_msg < MAXMSG -> r_msg++ }
#endif
  od
}
#endif

#if !NAIVE
/* S9. A `leased` row may be freed at any time: the write-ahead of its holder will fail. A `doubt` row was
   settled by its own holder: the quarantine alone frees it. A `sent` row may belong to a holder that has
   the answer and can't reach the database: that takes the sweeper's own unbroken watch.                  */
#if GRACE && WATCH == 0 || PROV == 0 && WATCH < 2 || ABL == 7
#define UNHELD LATEONLY
#elif GRACE && WATCH == 1
#define UNHELD (NOHOLD || LATEONLY && INGRACE)
#else
#define UNHELD NOHOLD
#endif
#define RIPE (LONGPAUSE || ABL == 2 || (NOREQ && (d_phase == DOUBT || UNHELD)))
active proctype Sweeper()
{ do
  :: atomic { d_up && d_phase != IDLE && (!HELD || n_exp < MAXEXP) && (d_phase == LEASED || RIPE) ->
       n_exp = (HELD -> n_exp + 1 : n_exp);
       printf("  sweeper: frees the row of fence %d (%e)\n", d_fence, d_phase);
       d_doubt = (d_phase == SENT && d_doubt < MOSTDOUBTS -> d_doubt + 1 : d_doubt); d_fence++; d_phase = IDLE }
  od
}
#endif

#if MAXREAUTH
active proctype ReAuth()
{ do
  :: atomic { d_up && n_reauth < MAXREAUTH -> n_reauth++;
       p_base = p_next; p_cur = p_next; p_next++; p_prev = 0; p_grace = 0; p_dead = 0;
       d_tok = p_cur; d_rcpt[p_cur] = 1; d_active = 1; d_due = (d_done < CYCLES); d_doubt = 0; g_lost = 0;
#if ORPHANS
       d_gen++; o_tok = 0; o_gen = 0; o_fence = 0;
#endif
#if CONFIRM
       d_susp = 0;
#endif
       d_epoch++; d_fence++; d_ifence = d_fence; d_phase = IDLE; printf("user re-authorises: token %d, epoch %d\n", d_tok, d_epoch) }
  od
}
#endif

#define OURS (d_fence == fence && d_epoch == epoch && d_tok == tok)
#if CONFIRM
#define BELIEVED d_susp
#define CLEARSUSP d_susp = 0
#else
#define BELIEVED 1
#define CLEARSUSP skip
#endif
#if ORPHAN
#define UNTRIED (o_tok && o_gen + 1 >= d_gen)
#else
#define UNTRIED 0
#endif
#if ORPHANS
#define ORPHANLIVES (o_tok && o_tok == p_cur && !p_dead)
#else
#define ORPHANLIVES 0
#endif
#if MAXBACK
#define MAYLEASE (!d_paused)
#elif RETRY == 1
#define MAYLEASE NOREQ             /* also a first request that the holder gave up on has had its quarantine */
#else
#define MAYLEASE 1
#endif

#define CRASH if :: n_crash < MAXCRASH -> n_crash++; printf("w%d kill -9\n", id); goto dead :: true fi

proctype Worker(byte id)
{
  byte fence = 0, tok = 0, k = 0, epoch = 0, doubt = 0; mtype res = FREE;
#if RETRY
  byte sl = id;
#else
#define sl id
#endif
#if STALE
  byte seen = 0, seenf = 0;
#endif
#if ORPHANS
  byte gen = 0;
#endif
#if MAXDB
  bool spooled = 0;
#endif

wait:
#if REDIS
  atomic { r_msg > 0 -> r_msg--; w_busy[id] = 1 }                       /* a hint */
  atomic { if :: r_lock == 0 -> r_lock = id + 1
              :: r_lock && NAIVE -> r_msg = (r_msg < MAXMSG -> r_msg + 1 : r_msg); w_busy[id] = 0; goto wait
              :: r_lock && !NAIVE -> w_busy[id] = 0; goto wait
           fi }
#endif

#if NAIVE
  /* ------- Redis lock only ----------------------------------------------------- */
  atomic { if :: d_active && d_done < CYCLES -> tok = d_tok; epoch = d_epoch; printf("w%d has the Redis lock, reads token %d\n", id, tok) :: else -> goto unlock fi }
  CRASH;
  atomic { s_st[id] == FREE -> printf("w%d POST token %d\n", id, tok); A_I1(NOOUT(epoch)); s_tok[id] = tok; s_ep[id] = epoch; s_st[id] = REQ }
#else
  /* ------- S1 lease: one conditional UPDATE -------------------------------------- */
  atomic {
    if
    :: d_up && d_active && d_due && d_done < CYCLES && d_phase == IDLE && MAYLEASE ->
         doubt = d_doubt;
         d_fence++; fence = d_fence; tok = d_tok; epoch = d_epoch;
#if ORPHANS
         gen = d_gen;
#endif
         d_phase = LEASED; w_f[id] = fence;
         printf("w%d leases with fence %d, reads token %d, doubts %d\n", id, fence, tok, doubt)
#if REDIS
    :: else -> goto unlock
#endif
    fi }
  CRASH;
  /* ------- S2 does the mirror know of a later install? Then nothing is sent -------- */
#if MAXBACK && MIRROR
  atomic { if :: m_count > d_count -> d_paused = 1; printf("w%d finds that the database went back in time\n", id); goto unlock :: else fi }
#endif
#ifdef GIVEUP
  if
  :: doubt > GIVEUP && PROV != 0 && !(GRACE && p_grace) ->
       atomic { if :: d_fence == fence && d_tok == tok -> printf("w%d gives the account up\n", id);
                        A_I6(!VALID(d_tok)); d_active = 0; d_phase = IDLE
                   :: else fi; goto unlock }
  :: else
  fi;
#endif
  /* ------- S4 write-ahead: SENT is committed before the POST ------------------------ */
#if ABL != 1
#if STALE
  /* PostgreSQL, READ COMMITTED: what is joined is read when the statement begins; after the wait for the
     row's lock only the locked row is read anew.                                                        */
  atomic { d_up -> seen = d_tok; seenf = d_ifence }
#define SAMETOKEN (seen == tok && (STALE == 2 || seenf == d_ifence))
#else
#define SAMETOKEN (d_tok == tok)
#endif
  atomic { d_up ->
    if :: d_fence == fence && d_phase == LEASED && SAMETOKEN -> A_SENT(d_tok == tok); d_phase = SENT; w_send[id] = GRACE; printf("w%d commits SENT, fence %d\n", id, fence)
       :: else -> printf("w%d fence %d refused at SENT\n", id, fence); goto unlock
    fi }
  CRASH;
#endif
  /* ------- S5 local deadline check, then the POST ------------------------------------ */
#if LONGPAUSE || ABL == 1
  atomic { s_st[id] == FREE -> printf("w%d POST token %d\n", id, tok); A_I1(NOOUT(epoch)); s_tok[id] = tok; s_ep[id] = epoch; s_st[id] = REQ; w_hold[id] = 1; w_send[id] = 0 }
#else
  atomic {
    if
    :: d_fence == fence && s_st[id] == FREE ->          /* within W: the sweeper cannot have come yet */
         printf("w%d POST token %d\n", id, tok); A_I1(NOOUT(epoch)); s_tok[id] = tok; s_ep[id] = epoch; s_st[id] = REQ; w_hold[id] = 1; w_send[id] = 0
    :: d_fence == fence && n_exp < MAXEXP -> n_exp++; goto notsent   /* W is over: surely not sent */
    :: d_fence != fence -> goto notsent
    fi }
#endif
#endif

  /* ------- S6 the answer, its loss, or our death --------------------------------------- */
answer:
  atomic {
    if
    :: s_st[sl] == ROK  -> k = s_k[sl]; s_k[sl] = 0; res = ROK; s_st[sl] = FREE
    :: s_st[sl] == RERR -> res = RERR; s_st[sl] = FREE
    :: s_st[sl] == GONE -> res = GONE; s_st[sl] = FREE
    :: s_st[sl] == REQ && n_drop < MAXDROP -> n_drop++; s_orph[sl] = 1; res = GONE; printf("w%d timeout\n", id)
#if !SLOWKILL
    :: n_crash < MAXCRASH -> n_crash++; printf("w%d kill -9 while waiting\n", id);
         if :: s_st[sl] == REQ -> s_orph[sl] = 1
            :: s_st[sl] == ROK -> g_lost = (g_lost || PROV != 0); s_st[sl] = FREE; s_k[sl] = 0
            :: else -> s_st[sl] = FREE
         fi; goto dead
#endif
    fi }
#if RETRY
  /* ------- the holder asks once more, under the same lease, with a quarantine of its own -- */
  if
  :: res == GONE && sl == id && (PROV == 2 || RETRY == 2) ->
       atomic { if :: d_up && d_fence == fence && d_phase == SENT && INGRACE ->
                        sl = id + NW; res = FREE; printf("w%d POST token %d again\n", id, tok);
                        s_tok[sl] = tok; s_ep[sl] = epoch; s_st[sl] = REQ; goto answer
                   :: true fi }
  :: else
  fi;
#endif
#if !SLOWKILL
  atomic { if :: n_crash < MAXCRASH -> n_crash++; g_lost = (g_lost || SPENT(res)); printf("w%d kill -9 before settle\n", id); goto dead
              :: true fi }
#endif

#if NAIVE
  atomic {
    if
    :: res == ROK ->
       if
       :: NAIVE == 2 && r_lock != id + 1 -> printf("w%d lost the Redis lock, drops token %d\n", id, k)
       :: NAIVE == 1 || r_lock == id + 1 ->
            printf("w%d writes token %d over token %d\n", id, k, d_tok); A_I3(k > d_tok || (PROV == 0 || PROV == 2) && k == d_tok);
            d_rcpt[k] = 1; d_tok = k; d_done++; d_due = (d_done < CYCLES);
            g_lost = (k == p_cur -> 0 : g_lost)
       fi;
       A_I2(d_rcpt[k])
    :: res == RERR -> printf("w%d disables the account; installed %d, live %d\n", id, d_tok, p_cur); A_I6(!VALID(d_tok)); d_active = 0
    :: res == GONE -> r_msg = (r_msg < MAXMSG -> r_msg + 1 : r_msg)         /* retried */
    fi }
#else
  /* ------- S7 the database is away: the answer is spooled; the worker may be killed ------- */
#if MAXDB
settle:
  if
  :: d_up
  :: DOWN && res == ROK && !spooled && SPOOL -> spooled = 1; printf("w%d spools token %d\n", id, k); goto settle
  :: atomic { DOWN && n_crash < MAXCRASH && (spooled || res != ROK || !SPOOL) -> n_crash++;
       if
       :: spooled -> printf("w%d kill -9, token %d in its spool\n", id, k); w_f[id] = 0; w_hold[id] = (SPOOL == 1)
       :: else -> printf("w%d kill -9, nothing spooled\n", id); g_lost = (g_lost || SPENT(res)); goto dead
       fi }; goto settle
  fi;
#endif
  /* ------- S7 settle: install or receipt, next due time: one commit ------------------------ */
  atomic {
#if MAXDB
    if :: DOWN -> goto settle :: else fi;
#endif
    if
    :: res == ROK ->
#if ABL == 5
       if :: d_fence == fence -> d_rcpt[k] = 1; d_tok = k; d_ifence = fence; d_done++;
               d_due = (d_done < CYCLES); d_phase = IDLE; d_doubt = 0
          :: else fi;
#else
       d_rcpt[k] = 1;
       if
       :: (ABL == 3) || (d_epoch == epoch && fence > d_ifence) ->
            printf("w%d installs token %d over %d, fence %d\n", id, k, d_tok, fence); A_I3(d_epoch == epoch && (k > d_tok || (PROV == 0 || PROV == 2) && k == d_tok));
            A_I3(LONGPAUSE || ABL || PROV == 0 || p_dead || k == p_cur);      /* what is installed is what is live */
#if MAXBACK
            b_tok = d_tok; b_count = d_count; d_count++;
#endif
#if ORPHANS
            d_gen++;
#endif
            CLEARSUSP;
            d_tok = k; d_ifence = fence; d_active = 1; d_doubt = 0;
            d_done = (d_done < CYCLES -> d_done + 1 : d_done); d_due = (d_done < CYCLES);
            g_lost = (k == p_cur -> 0 : g_lost)
       :: else -> printf("w%d token %d kept as orphan receipt\n", id, k);
#if ORPHANS
            if :: d_epoch == epoch && fence > o_fence -> o_tok = k; o_gen = gen; o_fence = fence :: else fi
#endif
       fi;
       if :: d_fence == fence -> d_phase = IDLE :: else fi;
#endif
       A_I2(d_rcpt[k])
    :: res == RERR ->
       if
#if CONFIRM
       :: OURS && !BELIEVED && !(ORPHAN == 2 && UNTRIED) -> d_susp = 1; d_phase = IDLE; printf("w%d notes the refusal of token %d; it will ask again\n", id, tok)
#endif
#if ORPHAN
       :: OURS && UNTRIED && (BELIEVED || ORPHAN == 2) -> printf("w%d tries orphan token %d instead of %d\n", id, o_tok, d_tok);
            A_I6(!VALID(d_tok));                                     /* nothing that lives is replaced by an orphan */
            d_tok = o_tok; o_tok = 0; d_gen++; d_ifence = fence; d_doubt = 1; d_phase = IDLE; CLEARSUSP
#endif
       :: (ABL == 4 || OURS) && BELIEVED && !UNTRIED -> printf("w%d disables the account; installed %d, live %d\n", id, d_tok, p_cur);
            A_I6(!VALID(d_tok) && !ORPHANLIVES); A_KEPT(false); d_active = 0; d_phase = IDLE
       :: else -> printf("w%d is a stale loser, ignored\n", id);
            if :: d_fence == fence -> d_phase = IDLE :: else fi
       fi
    :: res == GONE ->
       if :: d_fence == fence -> d_phase = DOUBT; d_doubt = (d_doubt < MOSTDOUBTS -> d_doubt + 1 : d_doubt); printf("w%d settles IN DOUBT\n", id) :: else fi
    fi }
#if MAXBACK
  CRASH;                                /* the mirror is written when the lock is given back */
#endif
  goto unlock;
#endif

notsent:
#if !NAIVE
  atomic { d_up -> if :: d_fence == fence && d_phase == SENT && s_st[id] == FREE && res == FREE -> d_phase = IDLE :: else fi }
#endif
unlock:
  atomic {
#if !NAIVE
    d_up ->
    if :: d_fence == fence && fence > 0 && d_phase == LEASED -> d_phase = IDLE :: else fi;
#endif
#if MAXBACK
    m_count = (d_count > m_count -> d_count : m_count);
#endif
#if REDIS
    if :: r_lock == id + 1 -> r_lock = 0 :: else fi;
#endif
    goto reset }

dead:                                   /* kill -9; a fresh process comes back */
#if NAIVE
  atomic { r_msg = (r_msg < MAXMSG -> r_msg + 1 : r_msg); goto reset }    /* the hint comes back */
#endif

reset:
  atomic { fence = 0; tok = 0; k = 0; epoch = 0; doubt = 0; res = FREE;
#if RETRY
           s_ep[id + NW] = (s_st[id + NW] == FREE -> 0 : s_ep[id + NW]); sl = id;
#endif
#if STALE
           seen = 0; seenf = 0;
#endif
#if ORPHANS
           gen = 0;
#endif
#if MAXDB
           spooled = 0;
#endif
           s_ep[id] = (s_st[id] == FREE -> 0 : s_ep[id]);
           w_busy[id] = 0; w_hold[id] = 0; w_out[id] = 0; w_send[id] = 0; w_f[id] = 0; goto wait }
}

#ifdef CHK_I7
active proctype Monitor()        /* an owed refresh is known to the database, the queue or a worker */
{ atomic { (d_active && d_done < CYCLES && !d_due && r_msg == 0 && !ANYBUSY) -> A_I7(false) } }
#endif

init { byte j = 0; atomic { d_rcpt[1] = 1; do :: j < NW -> run Worker(j); j++ :: else -> break od } }

#ifdef LIVE
ltl live { <> (d_done == CYCLES || !d_active) }
#endif
