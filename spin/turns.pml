/*
 * Callbacks take turns (src/observers/calls.rs, src/cell/turns.rs, src/settle.rs).
 *
 * Each `atomic` or `d_step` block is one critical section: the state's lock, the list of an `Event`, or a thread's errands.
 * Three setters commit one transition each; one of the callbacks sets the state once more from inside, one panics. Whoever
 * commits may be busy before it comes for its ticket. Both kinds of target, chosen at the start: with threads a setter
 * waits for its turn; with interrupts nobody waits, and one count of settlements and one list of errands are all there is.
 *
 * Checked: one caller at a time, in the order of the commits; with threads an outermost set returns when its own
 * transition and all that was set inside are called back, and whoever has the turn goes no further than its own ticket.
 * At the end everything is called back, and nobody sleeps.
 *
 * Seeded faults, each to be found: every F_... below.
 */

#define SETTERS 3
#define TICKETS 4 /* one each, and one from inside */
#define PANICS 1  /* the callback of this one */
#define NONE 255

mtype = { Away, Here, Asleep, Done, Yours, Taken };

bool may_wait; /* threads, or interrupts */

/* Under the state's lock: `Calls`. */
mtype owner[TICKETS];
byte pushed = 0;
byte begun = 0;
byte done = 0;
bool taken = false;
bool wanted = false;

/* The `Event`: who listens, in order, and who is told and has not noticed yet. */
chan listeners = [SETTERS] of { byte };
bool listening[SETTERS];
bool told_now[SETTERS];
byte told_count = 0;

/* Errands: of each thread, or with interrupts of all. Many of one state are one. */
byte depth[SETTERS];
byte errand[SETTERS] = NONE;

/* Outside. */
byte callers = 0;
byte called = 0; /* tickets before this one have been called back */
bool nested = false;
byte over = 0;

inline push(which, whose) {
    which = pushed;
    owner[which] = whose;
    pushed++
}

/* `Event::notify`: so many are told in all, those included that have not noticed yet. */
inline notify(many) {
    d_step {
        do
        :: told_count < many && nempty(listeners) ->
            listeners?one;
            told_now[one] = true;
            told_count++
        :: told_count >= many || empty(listeners) -> break
        od;
        one = 0
    }
}

/* Where the ticket stands. */
inline where(ticket) {
    at = begun;
    do
    :: may_wait && at < ticket && owner[at] == Away -> at++
    :: else -> break
    od;
#ifdef F_TICKET_OFF_BY_ONE
    if :: done >= ticket -> turn = Done
#else
    if :: done > ticket -> turn = Done
#endif
#ifdef F_TWO_CALLERS
    :: else -> if :: may_wait && at < ticket -> turn = Taken
#else
    :: else -> if :: taken || may_wait && at < ticket -> turn = Taken
#endif
        :: else -> turn = Yours
        fi
    fi
}

inline sleepers_to_tell() {
    tell = 0;
    if
    :: taken -> skip
    :: !taken && wanted -> wanted = false; tell = SETTERS
    :: else ->
        at = begun;
        do
        :: at < pushed && owner[at] == Away -> at++
        :: else -> break
        od;
        if
        :: at < pushed && owner[at] == Asleep -> tell = 1
        :: else -> skip
        fi
    fi;
    at = 0
}

/* Takes the next ticket in hand, or gives the turn up. */
inline step(ticket) {
    if
    :: hand != NONE -> done++; hand = NONE
    :: else -> skip
    fi;
    if
#ifdef F_FOR_ALL
    :: begun == pushed ->
#else
    :: begun == pushed || may_wait && done > ticket ->
#endif
#ifdef F_TURN_KEPT
        taken = (begun != pushed)
#else
        taken = false
#endif
    :: else ->
#ifndef F_IN_HAND_UNSAID
        wanted = wanted || owner[begun] == Asleep;
#endif
        hand = begun;
        begun++
    fi;
    sleepers_to_tell()
}

/* Runs the callbacks of the ticket in hand. */
inline call_it(domain, ticket) {
    d_step {
        callers++;
        assert(callers == 1);
        assert(hand == called);
        assert(!may_wait || hand <= ticket)
    };
    if
    :: atomic { !nested && hand < TICKETS - 1 -> nested = true;
            push(inner, Away); depth[domain]++ };
        /* A setter inside a settlement does not wait. */
#ifdef F_INSIDE_WAITS
        (!may_wait || done > inner);
#endif
        d_step {
#ifndef F_ERRAND_NOT_LEFT
            if
            :: errand[domain] == NONE || errand[domain] < inner -> errand[domain] = inner
            :: else -> skip
            fi;
#endif
            inner = 0;
            depth[domain]--
        }
    :: skip
    fi;
    d_step { panics = (hand == PANICS); called++; callers-- }
}

/* `Shared::call_back`. */
inline call_back(me, domain, ticket) {
    told = false;
    do
    :: true ->
        d_step {
            where(ticket);
            if :: turn == Yours -> taken = true :: else -> skip fi;
            if :: ticket >= begun -> owner[ticket] = Here :: else -> skip fi;
            sleepers_to_tell();
            if :: turn == Yours -> step(ticket) :: else -> skip fi
        };
        if
        :: turn == Yours ->
            do
            :: hand != NONE ->
                call_it(domain, ticket);
#ifdef F_PANIC_UNCAUGHT
                /* It unwinds: the turn is given up by its drop, what is in line stays there. */
                if
                :: panics -> d_step { done = begun; hand = NONE; taken = false; tell = SETTERS }; break
                :: else -> skip
                fi;
#endif
#ifdef F_PANIC_LOSES_TURN
                if :: panics -> hand = NONE; tell = 0; break :: else -> skip fi;
#endif
                d_step { panics = false; step(ticket) }
            :: hand == NONE -> break
            od;
#ifndef F_TURN_UNTOLD
            if :: tell > 0 -> notify(tell) :: else -> skip fi;
#endif
            break
        :: else -> skip
        fi;
#ifndef F_TOLD_ONE_UNTOLD
        if :: told && tell > 0 -> notify(tell) :: else -> skip fi;
#endif
        if
#ifdef F_NOT_AWAITED
        :: true -> break
#else
        :: turn == Done || !may_wait -> break
#endif
        :: else -> skip
        fi;
#ifndef F_LISTENS_LATE
        d_step { listeners!me; listening[me] = true };
#endif
        d_step {
            where(ticket);
            sleeps = (turn == Taken);
            if
#ifndef F_SLEEPER_UNSAID
            :: sleeps && ticket >= begun -> owner[ticket] = Asleep
#endif
            :: sleeps && ticket < begun -> wanted = true
            :: else -> skip
            fi;
            at = 0
        };
#ifdef F_LISTENS_LATE
        if :: sleeps -> atomic { listeners!me; listening[me] = true } :: else -> skip fi;
#endif
        if
        :: sleeps ->
            atomic { told_now[me] -> told_now[me] = false; listening[me] = false; told_count-- };
            told = true
        :: else ->
            /* Who has no use for what it was told hands that on. */
            d_step {
                if
                :: told_now[me] -> told_now[me] = false; told_count--; again = true
                :: else -> if :: listening[me] -> listeners??eval(me) :: else -> skip fi
                fi;
                listening[me] = false
            };
            if :: again -> again = false; notify(1) :: else -> skip fi
        fi
    od;
    atomic { turn = 0; tell = 0; at = 0; told = false; sleeps = false; panics = false }
}

proctype setter(byte me) {
    byte domain, mine, inner, last, at, tell, one;
    byte hand = NONE;
    mtype turn;
    bool told, sleeps, outermost, again, panics;
    atomic {
        domain = (may_wait -> me : 0);
        /* Whether there is anything to do before it comes for its ticket. */
        if
        :: depth[domain] == 0 -> push(mine, Here)
        :: push(mine, Away)
        fi
    };
    d_step { depth[domain]++; outermost = (depth[domain] == 1) };
    /* Here it wakes, and drops what the commit replaced. */
    if
    :: outermost -> call_back(me, domain, mine)
    :: else ->
        d_step {
            if
            :: errand[domain] == NONE || errand[domain] < mine -> errand[domain] = mine
            :: else -> skip
            fi
        }
    fi;
    /* What is left to do: for the outermost setter, with interrupts for the last one out. */
    do
    :: atomic { depth[domain] > 1 -> depth[domain]--; break }
    :: atomic { depth[domain] == 1 && errand[domain] == NONE -> depth[domain] = 0; break }
    :: atomic { depth[domain] == 1 && errand[domain] != NONE -> last = errand[domain]; errand[domain] = NONE };
        call_back(me, domain, last);
        assert(!may_wait || called > last)
    od;
    assert(!may_wait || called > mine);
    over++
}

init {
    atomic {
        if :: may_wait = true :: may_wait = false fi;
        run setter(0);
        run setter(1);
        run setter(2)
    };
    /* An end that is never reached is an invalid end state: somebody sleeps for good. */
    (over == SETTERS);
    assert(begun == pushed && done == pushed && called == pushed);
    assert(!taken && !wanted && told_count == 0 && empty(listeners));
    assert(depth[0] == 0 && errand[0] == NONE)
}
