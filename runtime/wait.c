/* Waiting: a quick look (call.c, inline), then polling with patience, then sleep.
 *
 * Polling is bounded. Each wait polls for a budget, which shrinks while answers come late and is tried whole again
 * ever more seldom, so a channel that is seldom answered in time sleeps at once; a sleep that turns out short
 * restores it. Nobody polls for a peer that was last seen on the poller's own processor, since it could not run. And
 * never do more threads of this process poll than it has processors less one. */
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"
#include "internal.h"

#define SPIN_DEFAULT_US 50     /* about what waking a sleeper on another core costs */
#define QUICK_US	1      /* the inline look, taken without asking for a place among the pollers */
#define SHORT_SLEEP_NS	100000 /* a sleep that polling could nearly have spared */
#define FAILURES_MAX	10     /* try the whole budget at least every 2^this waits */
#define LOOK_UP_EVERY	64     /* pauses between looks at what else may have happened */

static _Atomic int pollers; /* threads of this process that poll */
static _Atomic int pollers_max;
static _Atomic uint32_t pauses_per_us;

int64_t vmrpc__now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t vmrpc__deadline(int64_t timeout_ms)
{
	return timeout_ms < 0 ? VMRPC__FOREVER : vmrpc__now() + timeout_ms * 1000000;
}

void vmrpc__cpus(uint64_t *ret_cpus)
{
	cpu_set_t set;

	memset(ret_cpus, 0, VMRPC__CPUS / 8);
	if (sched_getaffinity(0, sizeof set, &set) < 0)
		memset(ret_cpus, 0xff, VMRPC__CPUS / 8);
	else
		for (unsigned cpu = 0; cpu < VMRPC__CPUS && cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &set))
				ret_cpus[cpu / 64] |= UINT64_C(1) << cpu % 64;
}

bool vmrpc__may_spin(const uint64_t *mine, const uint64_t *peers)
{
	int own = 0, both = 0;

	for (unsigned i = 0; i < VMRPC__CPUS / 64; i++) {
		own += __builtin_popcountll(mine[i]);
		both += __builtin_popcountll(mine[i] | peers[i]);
	}
	atomic_store_explicit(&pollers_max, own > 2 ? own - 1 : 1, memory_order_relaxed);
	return both > 1;
}

static uint32_t measure_pauses(void)
{
	uint32_t best = atomic_load_explicit(&pauses_per_us, memory_order_relaxed);

	for (int i = 0; best == 0 || i < 3; i++) {
		int64_t start = vmrpc__now(), time;
		uint32_t rate;

		if (i == 0 && best)
			return best;
		for (int n = 0; n < 500; n++)
			vmrpc__pause();
		time = vmrpc__now() - start;
		rate = time > 0 ? (uint32_t)(500000 / time) + 1 : 1;
		best = rate > best ? rate : best;
	}
	atomic_store_explicit(&pauses_per_us, best, memory_order_relaxed);
	return best;
}

void vmrpc__patience_begin(struct vmrpc__channel *channel)
{
	const struct vmrpc__session *session = channel->session;
	int64_t us = session->options->spin_us >= 0 ? session->options->spin_us : SPIN_DEFAULT_US;
	uint64_t budget = session->may_spin ? (uint64_t)us * measure_pauses() : 0;
	struct vmrpc__patience *patience = &channel->patience;

	memset(patience, 0, sizeof *patience);
	patience->budget_max = budget > UINT32_MAX ? UINT32_MAX : (uint32_t)budget;
	patience->budget = patience->budget_max;
	patience->quick_max = patience->budget_max ? QUICK_US * measure_pauses() : 0;
	patience->quick = patience->quick_max;
}

static bool poll_begin(void)
{
	/* Relaxed: a count, nothing is ordered by it. */
	if (atomic_fetch_add_explicit(&pollers, 1, memory_order_relaxed) <
	    atomic_load_explicit(&pollers_max, memory_order_relaxed))
		return true;
	atomic_fetch_sub_explicit(&pollers, 1, memory_order_relaxed);
	return false;
}

static void poll_end(void)
{
	atomic_fetch_sub_explicit(&pollers, 1, memory_order_relaxed);
}

/* Whether the peer, when we last heard of it, was on the processor we are on. Tells ours to the peer, too. */
static bool peer_is_here(struct vmrpc__channel *channel)
{
	uint32_t cpu = (uint32_t)sched_getcpu() << VMRPC__CPU_SHIFT; /* a load, where the C library uses rseq */

	channel->cpu = cpu;
	return channel->session->link->backend->shares_cpus && (channel->heard ^ cpu) >> VMRPC__CPU_SHIFT == 0;
}

/* How long to poll this time. */
static uint32_t patience_take(struct vmrpc__patience *patience, bool pointless)
{
	patience->pointless = pointless;
	patience->quick = pointless || patience->budget == 0 ? 0 : patience->quick_max;
	if (pointless)
		return 0;
	if (patience->budget == 0 && patience->countdown-- == 0)
		return patience->budget_max;
	return patience->budget;
}

static void patience_restore(struct vmrpc__patience *patience)
{
	patience->failures = 0;
	patience->budget = patience->budget_max;
	patience->quick = patience->quick_max;
}

static void patience_lose(struct vmrpc__patience *patience)
{
	if (patience->failures < FAILURES_MAX)
		patience->failures++;
	patience->budget /= 4;
	if (patience->budget < patience->quick_max)
		patience->budget = 0;
	patience->countdown = 1u << patience->failures;
}

/* What a thread waits for: a word whose part above the low bits changes. */
struct awaited {
	_Atomic uint32_t *word;
	uint32_t old; /* that part while there is nothing */
	bool ring;    /* server: or a call in the ring */
};

/* Whether what is awaited is there, or some other end of waiting is. */
static bool happened(struct vmrpc__channel *channel, const struct awaited *awaited)
{
	/* Acquire: what the peer wrote before it published. */
	return VMRPC__TURN_OF(atomic_load_explicit(awaited->word, memory_order_acquire)) != awaited->old ||
	       (awaited->ring && vmrpc__ring_ready(channel));
}

/* Other reasons to stop waiting than the one hoped for. */
static int interrupted(struct vmrpc__channel *channel)
{
	/* Seq-cst: the flag was set before the kick that made us look (vmrpc__session_end, vmrpc__channels_scan). */
	int ended = atomic_load(&channel->session->ended);

	if (ended)
		return ended;
	return atomic_load(&channel->closing) ? -ESHUTDOWN : 0;
}

static bool poll_for(struct vmrpc__channel *channel, const struct awaited *awaited, int64_t deadline)
{
	struct vmrpc__patience *patience = &channel->patience;
	bool answered = happened(channel, awaited);
	uint32_t budget;

	if (answered || patience->budget_max == 0)
		return answered;
	budget = patience_take(patience, peer_is_here(channel));
	if (budget == 0 || !poll_begin())
		return false;
	for (uint32_t i = 1; i <= budget && !answered; i++) {
		vmrpc__pause();
		answered = happened(channel, awaited);
		if (i % LOOK_UP_EVERY == 0 &&
		    (interrupted(channel) || (deadline != VMRPC__FOREVER && vmrpc__now() >= deadline)))
			break;
	}
	poll_end();
	if (answered)
		patience_restore(patience);
	return answered;
}

static void count(_Atomic uint64_t *counter)
{
	/* Only this thread writes it. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Sleeps until something may have happened. 0, or why waiting ends. */
static int sleep_on(struct vmrpc__channel *channel, const struct awaited *awaited, int64_t deadline)
{
	struct vmrpc__session *session = channel->session;
	uint32_t seen = atomic_load_explicit(awaited->word, memory_order_acquire);
	int r;

	if (VMRPC__TURN_OF(seen) != awaited->old)
		return 0;
	r = interrupted(channel);
	if (r)
		return r;
	if (seen & VMRPC__KICK) {
		/* Somebody wanted us, or the peer, to look up. We did. */
		if (session->side == VMRPC__CLIENT &&
		    atomic_load_explicit(&channel->doorplate->server, memory_order_acquire) == channel->generation * 2)
			return -EAGAIN;
		atomic_compare_exchange_strong(awaited->word, &seen, seen & ~VMRPC__KICK);
		return 0;
	}
	/* Seq-cst: the peer either sees the bit when it publishes, or we see its change here. And for calls in the
	 * ring: it fills a cell, then looks for the bit (vmrpc__post); we set the bit, then look at the cell. */
	if (!(seen & VMRPC__SLEEP) && !atomic_compare_exchange_strong(awaited->word, &seen, seen | VMRPC__SLEEP))
		return 0;
	seen |= VMRPC__SLEEP;
	if (awaited->ring && vmrpc__ring_ready(channel)) {
		atomic_compare_exchange_strong(awaited->word, &seen, seen & ~VMRPC__SLEEP);
		return 0;
	}
	count(&channel->counters.sleeps);
	VMRPC__PROBE2(sleep, channel->conn, channel->index);
	return session->link->backend->wait(session->link, awaited->word, seen, deadline);
}

/* Before sleep: frees of either side's blocks that are under way get to where they belong. */
static int settle_frees(struct vmrpc__session *session)
{
	/* At the client only ours: a heap that becomes empty by the server's would have to be given back by a call. */
	int r = session->side == VMRPC__CLIENT ? vmrpc__arena_push(session->arena) : vmrpc__arena_drain(session->arena);

	if (r == -EPROTO)
		vmrpc__session_end(session, -EPROTO);
	return r < 0 ? r : 0;
}

/* Sleeps until what is awaited is there; learns from how long that took. */
static int sleep_for(struct vmrpc__channel *channel, const struct awaited *awaited, int64_t deadline)
{
	struct vmrpc__patience *patience = &channel->patience;
	const bool learn = patience->budget_max && !patience->pointless;
	const int64_t start = learn ? vmrpc__now() : 0;
	const int error = errno; /* the program's, which a call that succeeds leaves alone */
	int r = settle_frees(channel->session);

	while (r == 0 && !happened(channel, awaited)) {
		r = sleep_on(channel, awaited, deadline);
		/* A peer that keeps changing the word's low bits keeps us from sleeping, and from being told the time.
		 */
		if (r == 0 && deadline != VMRPC__FOREVER && vmrpc__now() >= deadline)
			r = -ETIMEDOUT;
	}
	/* An answer that is there counts, though its sender may have died right after. */
	if ((r == -ETIMEDOUT || (r < 0 && channel->session->side == VMRPC__CLIENT)) && happened(channel, awaited))
		r = 0;
	/* Waking takes about as long as polling is worth, so an answer this soon would have been polled for. */
	if (learn && r == 0 && vmrpc__now() - start < SHORT_SLEEP_NS)
		patience_restore(patience);
	else if (learn)
		patience_lose(patience);
	errno = error;
	return r;
}

static int wait_for(struct vmrpc__channel *channel, const struct awaited *awaited, int64_t timeout_ms)
{
	int64_t deadline = vmrpc__deadline(timeout_ms);

	if (poll_for(channel, awaited, deadline))
		return 0;
	if (channel->unwaited) {
		/* The peer posts calls that it does not wait for. Where it shares our processor, let it fill the
		 * ring before we sleep, or each call would cost it a wake-up. */
		channel->unwaited = false;
		sched_yield();
	}
	return sleep_for(channel, awaited, deadline);
}

int vmrpc__wait_slowly(struct vmrpc__channel *channel, int64_t timeout_ms)
{
	struct awaited awaited = {&channel->cell->state, channel->turn, channel->session->side == VMRPC__SERVER};
	uint32_t state;
	int r = wait_for(channel, &awaited, timeout_ms);

	if (r < 0)
		return r;
	state = atomic_load_explicit(awaited.word, memory_order_acquire);
	if (VMRPC__TURN_OF(state) == channel->turn && awaited.ring)
		return 1;
	if (VMRPC__TURN_OF(state) != channel->turn + VMRPC__TURN) { /* or it was, and is no more */
		vmrpc__session_end(channel->session, -EPROTO);
		return -EPROTO;
	}
	channel->turn += VMRPC__TURN;
	return 0;
}

/* Takes what progress the server has made. */
static int take_progress(struct vmrpc__channel *channel)
{
	uint32_t word = atomic_load_explicit(&channel->block->progress.done, memory_order_acquire);
	uint32_t mask = UINT32_MAX / VMRPC__TURN;
	uint32_t done = word / VMRPC__TURN;

	if (((channel->ring_next - done) & mask) > VMRPC__RING_CELLS) {
		vmrpc__session_end(channel->session, -EPROTO);
		return -EPROTO;
	}
	channel->ring_done = channel->ring_next - ((channel->ring_next - done) & mask);
	return 0;
}

int vmrpc__wait_for_room(struct vmrpc__channel *channel, int64_t timeout_ms)
{
	int r = take_progress(channel);

	while (r == 0 && channel->ring_next - channel->ring_done >= VMRPC__RING_CELLS) {
		struct awaited awaited = {&channel->block->progress.done, channel->ring_done * VMRPC__TURN, false};

		r = wait_for(channel, &awaited, timeout_ms);
		if (r == 0)
			r = take_progress(channel);
	}
	return r;
}

void vmrpc__wake(struct vmrpc__channel *channel, _Atomic uint32_t *word)
{
	const int error = errno; /* the program's */

	count(&channel->counters.wakes);
	VMRPC__PROBE2(wake, channel->conn, channel->index);
	channel->session->link->backend->wake(channel->session->link, word);
	errno = error;
}
