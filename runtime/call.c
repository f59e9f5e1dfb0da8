/* Calls: how a message goes out through the cell, how the answer is awaited, and how the peer's calls are served.
 *
 * The fast path, a frame of at most 56 bytes between two sides that poll, touches the one shared line of the
 * cell and private memory: words out, one exchange, poll, words in. */
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "internal.h"

#define FRAME_ON_STACK 1024	  /* private copies of larger frames come from malloc */
#define STACK_LEFT     (48 << 10) /* a thread with less refuses to nest deeper */

const struct vmrpc_method vmrpc__system_methods[] = {
	[VMRPC__SYSTEM_FLUSH] = {.name = "(flush)"},
	[VMRPC__SYSTEM_HEAP_ADD] = {.name = "(heap setup)", .frame_size = 32},
	[VMRPC__SYSTEM_HEAP_DROP] = {.name = "(heap destroy)", .frame_size = 8},
	[VMRPC__SYSTEM_HEAP_OPEN] = {.name = "(heap open)", .frame_size = 8},
};

/* Bytes from..to of a frame go into the cell and come out of it unrolled: a loop costs more than its few words. */

static inline void put_words(struct vmrpc__cell *cell, const void *frame, uint32_t from, uint32_t to)
{
	const uint64_t *words = frame;

	/* Relaxed: publish() orders them. */
#pragma GCC unroll 7
	for (uint32_t i = 0; i < VMRPC__CELL_WORDS; i++) {
		if (i >= to / 8)
			break;
		if (i >= from / 8)
			atomic_store_explicit(&cell->words[i], words[i], memory_order_relaxed);
	}
}

static inline void get_words(const struct vmrpc__cell *cell, void *frame, uint32_t from, uint32_t to)
{
	uint64_t *words = frame;

	/* Relaxed: after the acquire that saw the turn. Each word is read once. */
#pragma GCC unroll 7
	for (uint32_t i = 0; i < VMRPC__CELL_WORDS; i++) {
		if (i >= to / 8)
			break;
		if (i >= from / 8)
			words[i] = atomic_load_explicit(&cell->words[i], memory_order_relaxed);
	}
}

static inline void publish(struct vmrpc__channel *channel, uint32_t flags, uint32_t number)
{
	struct vmrpc__cell *cell = channel->cell;
	uint32_t old;

	channel->turn += VMRPC__TURN;
	VMRPC__TELLS(channel->session);
	atomic_store_explicit(&cell->head, (number & 0xffff) | flags << 16 | channel->cpu, memory_order_relaxed);
	/* Release: all we wrote, for the peer's acquire of the turn. Seq-cst: its sleep bit (wait.c, sleep_on). */
	old = atomic_exchange_explicit(&cell->state, channel->turn, memory_order_seq_cst);
	if (vmrpc__unlikely(old & VMRPC__SLEEP))
		vmrpc__wake(channel, &cell->state);
}

/* As vmrpc__wait_slowly, after a quick look. */
static inline int wait_turn(struct vmrpc__channel *channel, bool server, int64_t timeout_ms)
{
	const uint32_t expected = channel->turn + VMRPC__TURN;

	for (uint32_t i = channel->patience.quick; i; i--) {
		/* Acquire: with the peer's publish(). */
		if (VMRPC__TURN_OF(atomic_load_explicit(&channel->cell->state, memory_order_acquire)) == expected) {
			channel->turn = expected;
			return 0;
		}
		if (server && vmrpc__ring_ready(channel))
			return 1;
		vmrpc__pause();
	}
	return vmrpc__wait_slowly(channel, timeout_ms);
}

static inline void add(_Atomic uint64_t *counter, uint64_t n)
{
	/* Only this thread writes it. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* ---- frames that don't fit the cell ---------------------------------------------------------------------- */

/* Copies of whole words to and from memory that the peer may be writing, too: each is read once. Relaxed: ordered by
 * the turns of the cell. */
static void copy_out(void *shared, const void *frame, size_t size)
{
	_Atomic uint64_t *to = shared;
	const uint64_t *from = frame;

	for (size_t i = 0; i < size / 8; i++)
		atomic_store_explicit(&to[i], from[i], memory_order_relaxed);
}

static void copy_in(void *frame, const void *shared, size_t size)
{
	const _Atomic uint64_t *from = shared;
	uint64_t *to = frame;

	for (size_t i = 0; i < size / 8; i++)
		to[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
}

/* Where a call's frame lies in the region while the call is out. */
struct spilled {
	unsigned char *at; /* own address */
	size_t bump;	   /* taken from the spill area */
	bool block;	   /* a block of our arena */
	bool in_place;	   /* where the caller built it */
};

static int spill(struct vmrpc__channel *channel, struct spilled *ret_spilled, const void *frame, uint32_t size)
{
	struct vmrpc__session *session = channel->session;
	struct spilled spilled = {0};
	uintptr_t offset = (uintptr_t)frame - (uintptr_t)session->region.base;

	if (vmrpc__region_holds(&session->region, offset, size, 8)) {
		spilled.at = session->region.base + offset;
		spilled.in_place = true;
	} else if (size <= VMRPC__SPILL_SIZE - channel->spill_used) {
		spilled.at = channel->spill + channel->spill_used;
		spilled.bump = size;
		channel->spill_used += size;
	} else {
		spilled.at = vmrpc__arena_malloc(session->arena, size);
		if (!spilled.at)
			return vmrpc__fail(
				ENOMEM,
				"the heap is too full for a frame of %u bytes; connect with a larger heap=", size);
		spilled.block = true;
	}
	if (!spilled.in_place)
		copy_out(spilled.at, frame, size);
	*ret_spilled = spilled;
	return 0;
}

static void unspill(struct vmrpc__channel *channel, const struct spilled *spilled)
{
	channel->spill_used -= spilled->bump;
	if (spilled->block)
		vmrpc__arena_release(channel->session->arena, (size_t)(spilled->at - channel->session->region.base));
}

/* ---- serving --------------------------------------------------------------------------------------------- */

static bool stack_is_short(struct vmrpc__channel *channel)
{
	struct vmrpc__thread *thread = vmrpc__self;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	if (channel->stack_ready && vmrpc__rpc_stack_contains(&channel->stack, (void *)here))
		return here - (uintptr_t)channel->stack.low < STACK_LEFT / 4;
	if (!thread->stack_low) {
		pthread_attr_t attr;
		void *low;
		size_t size;

		thread->stack_low = 1;
		if (pthread_getattr_np(pthread_self(), &attr) == 0) {
			if (pthread_attr_getstack(&attr, &low, &size) == 0)
				thread->stack_low = (uintptr_t)low;
			pthread_attr_destroy(&attr);
		}
	}
	return here - thread->stack_low < STACK_LEFT;
}

struct borrowed_call {
	vmrpc_thunk *serve;
	void *frame;
	int status;
};

static void *run_borrowed(void *arg)
{
	struct borrowed_call *call = arg;

	call->status = call->serve(call->frame);
	return NULL;
}

/* Server: runs the thunk on the client's RPC stack, below where the client's frames end. */
static int run_on_rpc_stack(struct vmrpc__channel *channel, vmrpc_thunk *serve, void *frame, uint64_t stack_pointer)
{
	struct vmrpc__session *session = channel->session;
	struct borrowed_call call = {serve, frame, 0};
	unsigned char *below = NULL;
	int r = vmrpc__channel_stack(channel);

	if (r < 0)
		return r;
	if (vmrpc__region_holds(&session->region, stack_pointer, 0, 1))
		below = session->region.base + stack_pointer;
	if (!below || !vmrpc__rpc_stack_contains(&channel->stack, below - 1)) {
		vmrpc__session_end(session, -EPROTO);
		return -EPROTO;
	}
	r = vmrpc__rpc_stack_borrow(&channel->stack, below, run_borrowed, &call);
	channel->smashed = r == -EPROTO;
	if (session->options->wipe)
		vmrpc__rpc_stack_wipe(&channel->stack, below);
	return r < 0 ? r : call.status;
}

struct run {
	struct vmrpc__channel *channel;
	vmrpc_thunk *serve;
	void *frame;
	bool on_stack;
	uint64_t stack_pointer;
};

static int run_thunk(void *arg)
{
	const struct run *run = arg;

	if (vmrpc__unlikely(run->on_stack))
		return run_on_rpc_stack(run->channel, run->serve, run->frame, run->stack_pointer);
	return run->serve(run->frame);
}

int vmrpc__run(struct vmrpc__channel *channel, const struct vmrpc_method *method, void *frame)
{
	struct run run = {.channel = channel, .serve = method->serve, .frame = frame};

	return method->n_passes ? vmrpc__pass_serve(channel, method, frame, run_thunk, &run) : method->serve(frame);
}

/* Serves a call whose frame lies elsewhere: copied once, and its results written back there. */
static int serve_spilled(struct vmrpc__channel *channel, const struct vmrpc_method *method, uint32_t flags)
{
	struct vmrpc__session *session = channel->session;
	struct vmrpc__spill place;
	_Alignas(16) uint64_t on_stack[FRAME_ON_STACK / 8];
	void *frame = on_stack;
	unsigned char *shared;
	struct run run = {.channel = channel, .serve = method->serve};
	int status;

	get_words(channel->cell, &place, 0, sizeof place);
	if (place.size != method->frame_size || !vmrpc__session_holds(session, place.offset, place.size, 8))
		return -EPROTO;
	if (place.size > sizeof on_stack)
		frame = malloc(place.size);
	if (!frame)
		return -ENOMEM;
	shared = session->region.base + place.offset;
	copy_in(frame, shared, place.size);
	run.frame = frame;
	if (flags & VMRPC__ON_STACK && session->side == VMRPC__SERVER && session->trust && session->peer_trusts) {
		run.on_stack = true;
		run.stack_pointer = place.stack_pointer;
	}
	status = method->n_passes ? vmrpc__pass_serve(channel, method, frame, run_thunk, &run) : run_thunk(&run);
	if (status == 0)
		copy_out(shared + method->result_offset, (char *)frame + method->result_offset,
			 place.size - method->result_offset);
	if (frame != on_stack)
		free(frame);
	return status;
}

static const struct vmrpc_method *find_method(const struct vmrpc__session *session, uint32_t number)
{
	if (session->side == VMRPC__SERVER)
		return number < session->n_methods ? session->methods[number] : NULL;
	return number < session->service->n_callbacks ? &session->service->callbacks[number] : NULL;
}

static inline int64_t await_reply(struct vmrpc__channel *channel, int64_t timeout_ms);

/* After a nested call that timed out the peer has the turn. The client gives the channel up; the server waits for the
 * late reply, and serves what the client calls until then. */
static __attribute__((noinline)) int settle(struct vmrpc__channel *channel)
{
	int64_t late;

	if (channel->session->side == VMRPC__CLIENT)
		return -ETIMEDOUT;
	channel->owed = false;
	late = await_reply(channel, -1);
	channel->owed = late < 0;
	return late < 0 ? (int)late : 0;
}

static inline int serve_call(struct vmrpc__channel *channel, uint32_t number, uint32_t flags)
{
	const struct vmrpc_method *method = find_method(channel->session, number);
	_Alignas(16) uint64_t words[VMRPC__CELL_WORDS];
	int status;

	if (vmrpc__unlikely(!method || !method->serve))
		return -ENOSYS;
	if (vmrpc__unlikely(flags & VMRPC__SPILLED))
		return serve_spilled(channel, method, flags);
	if (vmrpc__unlikely(method->frame_size > sizeof words))
		return -EPROTO;
	get_words(channel->cell, words, 0, method->frame_size);
	status = vmrpc__likely(!method->n_passes) ? method->serve(words) : vmrpc__run(channel, method, words);
	if (vmrpc__unlikely(channel->owed) && settle(channel) < 0)
		return status; /* the cell is not ours */
	if (vmrpc__likely(status == 0))
		put_words(channel->cell, words, method->result_offset, method->frame_size);
	return status;
}

/* Serves the call or system call now in the cell, and answers it. */
static inline int serve_message(struct vmrpc__channel *channel, uint32_t head)
{
	const uint32_t flags = head >> 16, number = head & 0xffff;
	uint32_t answer = VMRPC__REPLY;
	int status;

	if (channel->session->side == VMRPC__SERVER && vmrpc__unlikely(vmrpc__ring_ready(channel)))
		vmrpc__ring_drain(channel);
	if (vmrpc__unlikely(channel->async_error)) {
		status = channel->async_error;
		channel->async_error = 0;
		answer |= VMRPC__EARLIER;
	} else if (vmrpc__unlikely((flags & VMRPC__KIND) == VMRPC__SYSTEM)) {
		_Alignas(16) uint64_t words[VMRPC__CELL_WORDS];

		get_words(channel->cell, words, 0, sizeof words);
		status = vmrpc__system_serve(channel, number, words);
		put_words(channel->cell, words, 0, sizeof words);
	} else if (vmrpc__unlikely(atomic_load_explicit(&channel->depth, memory_order_relaxed) > 8 &&
				   stack_is_short(channel))) {
		status = -ELOOP;
	} else {
		status = serve_call(channel, number, flags);
	}
	if (vmrpc__unlikely(channel->owed)) {
		int r = settle(channel);

		if (r < 0)
			return r;
	}
	publish(channel, answer, (uint32_t)status);
	/* Only now, or the client would hear of the end before the reason. */
	if (vmrpc__unlikely(status < 0) && channel->smashed)
		vmrpc__session_end(channel->session, -EPROTO);
	return 0;
}

/* Server: what the client posted before it ended or closed the connection is run all the same. */
static void finish(struct vmrpc__channel *channel)
{
	/* Acquire: the ring's cells, filled before. */
	uint32_t state = atomic_load_explicit(&channel->cell->state, memory_order_acquire);
	uint32_t head = atomic_load_explicit(&channel->cell->head, memory_order_relaxed);

	if (VMRPC__TURN_OF(state) == channel->turn + VMRPC__TURN && (head >> 16 & VMRPC__KIND) == VMRPC__BYE)
		vmrpc__ring_finish(channel);
}

void vmrpc__serve_channel(struct vmrpc__channel *channel)
{
	for (;;) {
		int r = wait_turn(channel, true, -1);
		uint32_t head, kind;

		if (vmrpc__unlikely(r)) {
			if (r < 0 || vmrpc__ring_drain(channel) < 0) {
				finish(channel);
				return;
			}
			continue;
		}
		VMRPC__HEARS(channel->session);
		channel->heard = head = atomic_load_explicit(&channel->cell->head, memory_order_relaxed);
		kind = head >> 16 & VMRPC__KIND;
		if (vmrpc__likely(kind == VMRPC__CALL || kind == VMRPC__SYSTEM)) {
			atomic_store_explicit(&channel->depth, 1, memory_order_relaxed);
			add(&channel->counters.calls, 1);
			r = serve_message(channel, head);
			atomic_store_explicit(&channel->depth, 0, memory_order_relaxed);
			if (vmrpc__unlikely(r < 0)) {
				finish(channel);
				return;
			}
		} else {
			if (kind == VMRPC__BYE)
				vmrpc__ring_finish(channel);
			else
				vmrpc__session_end(channel->session, -EPROTO);
			return;
		}
	}
}

/* ---- calling --------------------------------------------------------------------------------------------- */

/* A call of the peer, served by a thread that waits for a reply itself. */
static int serve_nested(struct vmrpc__channel *channel, uint32_t head)
{
	struct vmrpc__thread *thread = vmrpc__thread_get();
	struct vmrpc__rpc_stack *stack = &channel->stack;
	unsigned char *mark = stack->mark;
	struct vmrpc__channel *outer;
	bool guarded = channel->guarded;
	int r;

	if (!thread)
		return -ENOMEM;
	outer = thread->serving;
	thread->serving = channel;
	if (guarded)
		vmrpc__rpc_stack_protect(stack, false);
	channel->guarded = false;
	if (head >> 16 & VMRPC__ON_STACK && channel->session->side == VMRPC__CLIENT) {
		/* The server's frames are on our RPC stack: what we run there goes below. */
		uint64_t pointer = atomic_load_explicit(&channel->cell->words[2], memory_order_relaxed);

		if (channel->stack_ready && vmrpc__region_holds(&channel->session->region, pointer, 0, 1))
			vmrpc__rpc_stack_set_mark(stack, channel->session->region.base + pointer);
	}
	atomic_store_explicit(&channel->depth, atomic_load_explicit(&channel->depth, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	r = serve_message(channel, head);
	if (r == 0 && vmrpc__unlikely(channel->close_later))
		r = -EPIPE; /* the session has ended, and been replaced: no answer is wanted */
	atomic_store_explicit(&channel->depth, atomic_load_explicit(&channel->depth, memory_order_relaxed) - 1,
			      memory_order_relaxed);
	vmrpc__rpc_stack_set_mark(stack, mark);
	if (guarded)
		vmrpc__rpc_stack_protect(stack, true);
	channel->guarded = guarded;
	thread->serving = outer;
	return r;
}

/* Waits for the reply to what was published, serving what the peer calls meanwhile. Its head, or an error. What it
 * calls takes our time, not its own; but of its own it has no more for being used in pieces. The first piece
 * counts for nothing, so that no clock is read for calls without callbacks. */
static inline int64_t await_reply(struct vmrpc__channel *channel, int64_t timeout_ms)
{
	const bool server = channel->session->side == VMRPC__SERVER;
	int64_t left = timeout_ms * 1000000, since = 0;

	for (;;) {
		int r = wait_turn(channel, server, timeout_ms);
		uint32_t head, kind;

		if (vmrpc__unlikely(r)) {
			if (r < 0)
				return r;
			r = vmrpc__ring_drain(channel);
			if (r < 0)
				return r;
			continue;
		}
		VMRPC__HEARS(channel->session);
		channel->heard = head = atomic_load_explicit(&channel->cell->head, memory_order_relaxed);
		kind = head >> 16 & VMRPC__KIND;
		if (vmrpc__likely(kind == VMRPC__REPLY))
			return head;
		if (vmrpc__unlikely(server && kind == VMRPC__BYE)) {
			/* The client's thread ended inside our callback. */
			vmrpc__ring_finish(channel);
			atomic_store(&channel->closing, true);
			return -EPIPE;
		}
		if (kind != VMRPC__CALL && !(server && kind == VMRPC__SYSTEM)) {
			vmrpc__session_end(channel->session, -EPROTO);
			return -EPROTO;
		}
		if (!server)
			add(&channel->counters.callbacks, 1);
		if (timeout_ms >= 0 && since)
			left -= vmrpc__now() - since;
		r = serve_nested(channel, head);
		if (r < 0)
			return r;
		if (timeout_ms >= 0) {
			since = vmrpc__now();
			if (left < 0)
				return -ETIMEDOUT;
		}
	}
}

/* A call whose frame does not go through the cell. */
struct outgoing {
	struct vmrpc__channel *channel;
	uint32_t flags, number;
	struct vmrpc__spill place;
	bool guard;
	int64_t timeout_ms, head;
};

static void *send_and_wait(void *arg)
{
	struct outgoing *out = arg;
	struct vmrpc__channel *channel = out->channel;
	int64_t head;

	if (out->flags & VMRPC__ON_STACK)
		out->place.stack_pointer = (uint64_t)(channel->stack.left - channel->session->region.base);
	if (out->guard)
		channel->guarded = vmrpc__rpc_stack_protect(&channel->stack, true) == 0;
	put_words(channel->cell, &out->place, 0, sizeof out->place);
	publish(channel, out->flags, out->number);
	head = await_reply(channel, out->timeout_ms);
	if (out->guard && channel->guarded)
		vmrpc__rpc_stack_protect(&channel->stack, false);
	channel->guarded = false;
	out->head = head; /* not before: it lies on that stack */
	return NULL;
}

/* Whether this thread is on the channel's RPC stack now. */
static inline bool on_rpc_stack(const struct vmrpc__channel *channel)
{
	return vmrpc__unlikely(channel->stack_ready) &&
	       vmrpc__rpc_stack_contains(&channel->stack, __builtin_frame_address(0));
}

/* Whether the peer may use our RPC stack during this call; at the server, whether it has to be told that we do. */
static bool shares_stack(const struct vmrpc__channel *channel, const struct vmrpc_method *method)
{
	const struct vmrpc__session *session = channel->session;

	return session->side == VMRPC__SERVER ||
	       (session->trust && session->peer_trusts &&
		(method->flags & VMRPC_METHOD_SHARED_STACK || session->options->stack_shared));
}

static __attribute__((noinline)) int64_t call_spilled(struct vmrpc__channel *channel, uint32_t kind, uint32_t number,
						      const struct vmrpc_method *method, void *frame,
						      int64_t timeout_ms)
{
	struct vmrpc__session *session = channel->session;
	const uint32_t size = method->frame_size;
	struct outgoing out = {
		.channel = channel, .flags = kind | VMRPC__SPILLED, .number = number, .timeout_ms = timeout_ms};
	struct spilled spilled = {0};
	int r = spill(channel, &spilled, frame, size);

	if (r < 0)
		return r;
	out.place.offset = (uint64_t)(spilled.at - session->region.base);
	out.place.size = size;
	if (on_rpc_stack(channel) && kind == VMRPC__CALL) {
		out.flags |= shares_stack(channel, method) ? VMRPC__ON_STACK : 0;
		out.guard = session->options->guard && session->side == VMRPC__CLIENT;
	}
	if (out.flags & VMRPC__ON_STACK || out.guard)
		vmrpc__rpc_stack_leave(&channel->stack, send_and_wait, &out);
	else
		send_and_wait(&out);
	if (out.head < 0) {
		/* While the session lives, what was spilled stays: the peer may still write there. */
		if (atomic_load_explicit(&session->ended, memory_order_relaxed))
			unspill(channel, &spilled);
		return out.head;
	}
	if ((out.head & 0xffff) == 0 && !spilled.in_place && size > method->result_offset)
		copy_in((char *)frame + method->result_offset, spilled.at + method->result_offset,
			size - method->result_offset);
	unspill(channel, &spilled);
	return out.head;
}

/* What to do about a call that ended without its reply. */
static int lost(struct vmrpc__channel *channel, int error)
{
	vmrpc__self->lost = true;
	channel->earlier = false;
	if (channel->session->side == VMRPC__SERVER)
		channel->owed = error == -ETIMEDOUT;
	else if (error == -ETIMEDOUT || error == -EAGAIN)
		vmrpc__channel_abandon(channel);
	else if (channel->close_later)
		vmrpc__channel_close(channel);
	return error;
}

int vmrpc__call(struct vmrpc__channel *channel, uint32_t kind, uint32_t number, const struct vmrpc_method *method,
		void *frame, int64_t timeout_ms)
{
	const uint32_t depth = atomic_load_explicit(&channel->depth, memory_order_relaxed);
	const bool in_cell = method->frame_size <= sizeof channel->cell->words && !on_rpc_stack(channel);
	int64_t head;
	int status;

	if (vmrpc__unlikely(channel->owed)) {
		vmrpc__self->lost = true;
		return -ETIMEDOUT;
	}
	VMRPC__PROBE2(call__begin, channel->conn, number);
	atomic_store_explicit(&channel->depth, depth + 1, memory_order_relaxed);
	if (vmrpc__likely(in_cell)) {
		put_words(channel->cell, frame, 0, method->frame_size);
		publish(channel, kind, number);
		head = await_reply(channel, timeout_ms);
	} else {
		head = call_spilled(channel, kind, number, method, frame, timeout_ms);
	}
	atomic_store_explicit(&channel->depth, depth, memory_order_relaxed);
	add(channel->session->side == VMRPC__CLIENT ? &channel->counters.calls : &channel->counters.callbacks, 1);
	VMRPC__PROBE2(call__end, channel->conn, number);
	if (vmrpc__unlikely(head < 0))
		return lost(channel, (int)head);
	status = (int16_t)(head & 0xffff);
	if (vmrpc__unlikely(status)) {
		vmrpc__self->lost = false;
		channel->earlier = head >> 16 & VMRPC__EARLIER;
		return status < 0 && status > -4096 ? status : -EPROTO;
	}
	if (vmrpc__likely(in_cell))
		get_words(channel->cell, frame, method->result_offset, method->frame_size);
	return 0;
}

void vmrpc__say_bye(struct vmrpc__channel *channel)
{
	publish(channel, VMRPC__BYE, 0);
}
