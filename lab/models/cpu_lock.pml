/*
 * A CPU's lock (src/machine/posix/cpu_lock.c): NEAR threads of one CPU, which take it by a restartable
 * sequence and leave it by a store, and FAR threads from elsewhere, which shut the gate. Spin looks at all
 * orders of their steps.
 *
 * WHAT IS SHOWN
 *	OWNER   At most one thread owns the CPU (the assertions).
 *	ENDS    No thread waits for ever: in no state can nobody go on.
 *
 * WHAT A PROCESSOR MAY DO is in it: a plain store goes to the thread's buffer and comes out at any later
 * moment (`Memory`); a look of the thread's own sees it, others' do not. A system call and losing the CPU
 * empty the buffer, and so does a barrier: the one on this CPU that of the thread which runs there, the
 * one on all everybody's. A thread that owns the CPU may have been moved (`away`) when it leaves.
 *
 * A SEQUENCE is its look at the pair and its store, two steps. It starts again if the CPU has run another
 * thread in between, or at the barrier.
 *
 * WHAT IS LEFT OUT  The mutex among those from elsewhere is one step each way: it is an ordinary one. That a
 * machine may not offer membarrier: being on the CPU does the same.
 *
 * Faults: no_barrier_on, no_barrier_on_all, wakes_nobody. check_cpu_lock.py runs it all.
 */
#define NEAR 2
#ifndef FAR
#define FAR 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#define NOBODY 255

bit held, gate, far;        /* in memory */
bit buffered[NEAR];         /* a store to held is in this thread's buffer, */
bit value[NEAR];            /* of this value */
bit away[NEAR];             /* and not in this CPU's */
bit inside[NEAR];           /* the sequence has looked, and not yet stored */
bit asleep[NEAR + FAR];     /* in futex(2), on held */
byte on = NOBODY;           /* who runs on this CPU */
byte owners;

inline flush(n)
{
	if
	:: buffered[n] -> held = value[n]; buffered[n] = 0
	:: else
	fi
}

inline lose_cpu()
{
	if
	:: on != NOBODY && !away[on] -> flush(on); inside[on] = 0
	:: else
	fi
}

inline take_cpu(n)
{
	if
	:: on == n || away[n]
	:: else -> lose_cpu(); on = n
	fi
}

inline store(n, v)
{
	flush(n); /* stores come out in their order */
	buffered[n] = 1;
	value[n] = v
}

inline own()
{
	owners++;
	assert(owners == 1)
}

inline wake_all()
{
	w = 0;
	do
	:: w < NEAR + FAR -> asleep[w] = 0; w++
	:: else -> break
	od
}

/* posix_cpu_lock_far(), the work, posix_cpu_unlock_far(). */
inline from_afar(me)
{
	atomic { !far -> far = 1 };
	gate = 1;
#ifndef no_barrier_on
	atomic { lose_cpu() };
#endif
	if
	:: !held
	:: else ->
#ifndef no_barrier_on_all
		atomic { flush(0); flush(1) };
#endif
		do
		:: atomic { !held -> break }
		:: atomic { held -> asleep[me] = 1 }; /* the kernel looks, and puts to sleep */
			!asleep[me]
		od
	fi;
	own();
	owners--;
	gate = 0;
	far = 0
}

/* cpu_unlock() after cpu_trylock_near(). */
inline leave(n)
{
	owners--;
	atomic {
		take_cpu(n);
		if
		:: true
		:: lose_cpu(); on = NOBODY; away[n] = 1 /* it is elsewhere by now */
		fi;
		store(n, 0)
	};
	atomic { take_cpu(n); shut = gate }; /* before the store comes out, perhaps */
	if
	:: shut ->
#ifndef wakes_nobody
		atomic { take_cpu(n); flush(n); wake_all() }
#else
		skip
#endif
	:: else
	fi;
	atomic { flush(n); away[n] = 0 }
}

proctype Near(byte n)
{
	byte round, w;
	bit shut, took;

	do
	:: round == ROUNDS -> break
	:: else ->
		round++;
		took = 0;
		do
		:: atomic {
			take_cpu(n);
			if
			:: buffered[n] -> flush(n)
			:: else
			fi;
			if
			:: !held && !gate -> inside[n] = 1
			:: else -> break
			fi
		   };
		   atomic {
			take_cpu(n);
			if
			:: inside[n] -> inside[n] = 0; store(n, 1); own(); took = 1; break
			:: else /* again */
			fi
		   }
		od;
		if
		:: took -> leave(n)
		:: else ->
			atomic { take_cpu(n); lose_cpu(); on = NOBODY }; /* a system call, and sleep */
			from_afar(n)
		fi
	od;
	atomic { if :: on == n -> lose_cpu(); on = NOBODY :: else fi }
}

proctype Far(byte me)
{
	byte round;

	do
	:: round == ROUNDS -> break
	:: else -> round++; from_afar(me)
	od
}

/* Stores come out when they like. */
proctype Memory()
{
end:	do
	:: atomic { buffered[0] -> flush(0) }
	:: atomic { buffered[1] -> flush(1) }
	od
}

init
{
	byte i;

	atomic {
		run Memory();
		run Near(0);
		run Near(1);
		do
		:: i < FAR -> run Far(NEAR + i); i++
		:: else -> break
		od
	}
}
