/*
 * How a change gets from the setter that commits it to every judge and callback (src/delivery.rs).
 *
 * One lock (each `atomic` block is one critical section), two roles. Two setters commit two changes each; one of them
 * joins as an observer in between, another observer leaves; one watcher sleeps and is woken.
 *
 * Checked: no change is stuck, none is shown twice or out of order, who joins sees what is younger than its `since` and
 * nothing else, nobody is shown anything after its leave was acknowledged, the sleeper does not sleep over a change.
 *
 * Seeded faults, each to be found: -DF_TWO_SERVERS -DF_ROLE_KEPT -DF_PUT_DOWN_LATE -DF_TWO_CALLERS -DF_SINCE
 * -DF_PARK_OUTSIDE -DF_LEAVE_UNSEEN
 */

#define SETTERS 2
#define SETS 2
#define CHANGES 4 /* SETTERS * SETS */

/* Under the lock. */
byte seq = 0;
chan fresh = [CHANGES] of { byte };  /* committed, not yet judged */
chan judged = [CHANGES] of { byte }; /* judged, not yet called */
bool serving = false;
bool calling = false;
byte ring = 0;          /* what the watcher has not taken yet */
bool parked = false;
bool joined = false;
byte since = 0;
bool left = false;      /* the leaving callback is off the list */

/* Outside. */
byte last_judged = 0;   /* by a judge that is there from the start */
byte last_called = 0;   /* by a callback that is there from the start */
byte joiner_saw = 0;    /* by a judge that joins meanwhile */
bool joiner_saw_any = false;
byte at_work = 0;       /* threads that serve */
byte calls = 0;         /* threads that call */
bool leaver_in_hand = false;
bool bell = false;      /* the sleeper's waker was woken */
byte received = 0;
byte done = 0;

inline judge(c) {
    at_work++;
    assert(at_work == 1);
    assert(c == last_judged + 1);
    last_judged = c;
    if
    :: atomic { joined && c > since -> assert(!joiner_saw_any || c == joiner_saw + 1); assert(joiner_saw_any || c == since + 1); joiner_saw = c; joiner_saw_any = true }
#ifdef F_SINCE
    :: atomic { joined && c <= since -> assert(c > since) }
#endif
    :: else -> skip
    fi;
    at_work--
}

inline call(c) {
    calls++;
    assert(calls == 1);
    assert(c == last_called + 1);
    /* Served first: whatever is called back was judged before. */
    assert(c <= last_judged);
    last_called = c;
    /* The closure is taken out under the lock, and runs outside. */
    atomic {
#ifdef F_LEAVE_UNSEEN
        leaver_in_hand = true;
#else
        leaver_in_hand = !left;
#endif
        /* A call that starts now must not come after the leave. */
        assert(!(leaver_in_hand && left))
    };
    leaver_in_hand = false;
    calls--
}

proctype setter() {
    byte n = 0;
    byte c;
    bool serve;
    bool run_calls;
    bool wake;
    do
    :: n < SETS ->
        /* commit */
        atomic {
            seq++;
            fresh!seq;
            ring++;
            wake = parked;
            parked = false;
#ifdef F_TWO_SERVERS
            serve = true;
#else
            serve = !serving;
#endif
            if :: serve -> serving = true :: else fi
        };
        if :: wake -> bell = true :: else fi;
        if
        :: serve ->
            do
            :: atomic { nempty(fresh) -> fresh?c };
                judge(c);
                atomic { judged!c }
            :: atomic { empty(fresh) ->
#ifdef F_PUT_DOWN_LATE
                    skip };
                atomic {
#endif
#ifndef F_ROLE_KEPT
                    serving = false;
#endif
#ifdef F_TWO_CALLERS
                    run_calls = nempty(judged);
#else
                    run_calls = nempty(judged) && !calling;
#endif
                    if :: run_calls -> calling = true :: else fi;
                    break
                }
            od;
            if
            :: run_calls ->
                do
                :: atomic { nempty(judged) -> judged?c };
                    call(c)
                :: atomic { empty(judged) -> calling = false; break }
                od
            :: else
            fi
        :: else
        fi;
        n++
    :: else -> break
    od;
    done++
}

/* A judge that joins while deliveries are under way. */
proctype joiner() {
    atomic { joined = true; since = seq };
    done++
}

/* A callback that leaves. */
proctype leaver() {
    atomic { left = true };
    done++
}

/* A watcher: look, listen, and park only on an empty ring, under the lock. */
proctype watcher() {
    bool sleeps;
    do
    :: received < CHANGES ->
        if
        :: atomic { ring > 0 -> ring--; received++ }
        :: atomic { ring == 0 -> skip };
            bell = false; /* listening from here on */
#ifdef F_PARK_OUTSIDE
            parked = true; sleeps = true;
#else
            atomic { sleeps = (ring == 0); if :: sleeps -> parked = true :: else fi };
#endif
            if :: sleeps -> (bell) :: else fi
        fi
    :: else -> break
    od;
    done++
}

init {
    atomic { run setter(); run setter(); run joiner(); run leaver(); run watcher() };
    /* An end that is never reached is an invalid end state: the sleeper slept over a change. */
    (done == SETTERS + 3);
    assert(empty(fresh) && empty(judged));
    assert(!serving && !calling);
    assert(last_judged == CHANGES && last_called == CHANGES);
    assert(since == CHANGES || joiner_saw == CHANGES)
}
