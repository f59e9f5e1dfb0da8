/* What stubs call: finds the connection and this thread's channel, makes the call, and words its failure. */
#include <string.h>

#include "internal.h"

/* This thread's channel of conn, if there is one and its server is alive. */
static inline struct vmrpc__channel *channel_at_hand(const struct vmrpc *conn)
{
	struct vmrpc__thread *thread = vmrpc__self;
	struct vmrpc__channel *channel;

	if (vmrpc__unlikely(!thread || conn->id >= thread->n_channels))
		return NULL;
	channel = atomic_load_explicit(&thread->channels[conn->id], memory_order_relaxed);
	if (vmrpc__unlikely(!channel || atomic_load_explicit(&channel->session->ended, memory_order_relaxed)))
		return NULL;
	return channel;
}

static int64_t timeout_of(const struct vmrpc *conn, const struct vmrpc_method *method)
{
	return method->timeout_ms ? (int64_t)method->timeout_ms : conn->address.options.timeout_ms;
}

static int explain(const struct vmrpc_service *service, const struct vmrpc_method *method, bool earlier, int error)
{
	const char *what = service->name, *name = method->name;

	if (earlier)
		return vmrpc__fail(
			-error, "%s: an earlier asynchronous call failed: %s; %s was not run, and may be called again",
			what, strerror(-error), name);
	switch (error) {
	case -EPROTO:
		return vmrpc__fail(EPROTO,
				   "%s.%s: the peer broke the rules of the connection, or refused what it was sent",
				   what, name);
	case -EPROTONOSUPPORT:
		return vmrpc__fail(
			EPROTONOSUPPORT,
			"%s.%s has another signature or layout at the server: build both sides from one header", what,
			name);
	case -ENOSYS:
		return vmrpc__fail(ENOSYS, "%s.%s is not offered by the peer: it may be older, or built without it",
				   what, name);
	case -ENOMEM:
		return vmrpc__fail(
			ENOMEM,
			"%s.%s: no memory left, here for its frame or at the peer; connect with a larger heap=", what,
			name);
	case -EFAULT:
		return vmrpc__fail(
			EFAULT,
			"%s.%s: a pointer argument, or the length that belongs to it, leads outside the memory "
			"that both sides share",
			what, name);
	case -EBADF:
		return vmrpc__fail(
			EBADF,
			"%s.%s: a handle that the peer does not know: closed, of another type, or from before "
			"the server was restarted",
			what, name);
	case -EBUSY:
		return vmrpc__fail(EBUSY, "%s.%s: the handle is being used by another call", what, name);
	case -ELOOP:
		return vmrpc__fail(ELOOP,
				   "%s.%s: calls and callbacks are nested so deeply that the peer's stack ran out",
				   what, name);
	default:
		return vmrpc__fail(-error, "%s.%s: %s", what, name, strerror(-error));
	}
}

/* Why the server does not take this method from us at all. */
static int explain_verdict(const struct vmrpc__session *session, const struct vmrpc_service *service, uint32_t index)
{
	const struct vmrpc_method *method = &service->methods[index];

	for (unsigned i = 0; session->verdicts[index] == EPROTONOSUPPORT && i < VMRPC__LAYOUTS; i++)
		if (session->layouts[i].method == index && session->layouts[i].text && *session->layouts[i].text &&
		    method->layout)
			return vmrpc__fail(
				EPROTONOSUPPORT,
				"%s.%s differs: here it is \"%.380s\", at the server \"%.380s\"; build both sides from "
				"one header",
				service->name, method->name, method->layout, session->layouts[i].text);
	return explain(service, method, false, -session->verdicts[index]);
}

/* The same for a call that got no answer. */
static int explain_lost(const struct vmrpc_service *service, const struct vmrpc_method *method, int error)
{
	const char *what = service->name, *name = method->name;

	switch (error) {
	case -EPIPE:
		return vmrpc__fail(
			EPIPE,
			"%s.%s: the peer died or closed the connection during the call; whether it ran is not known, "
			"the next call connects anew",
			what, name);
	case -ETIMEDOUT:
		return vmrpc__fail(
			ETIMEDOUT,
			"%s.%s: no answer in time; it may still be running there; timeout= sets how long to wait", what,
			name);
	case -EAGAIN:
		return vmrpc__fail(EAGAIN, "%s.%s: the server could not start a thread for this one; try again later",
				   what, name);
	default:
		return explain(service, method, false, error);
	}
}

/* Whether a call that failed did so without an answer. Its channel may no longer be there to look at, then. */
static bool lost(void)
{
	return vmrpc__self->lost;
}

/* One call on a channel at hand. */
static inline int call_on(struct vmrpc__channel *channel, uint32_t kind, uint32_t number,
			  const struct vmrpc_method *method, void *frame, int64_t timeout_ms)
{
	if (vmrpc__unlikely(method->n_passes != 0))
		return vmrpc__pass_call(channel, number, method, frame, timeout_ms);
	return vmrpc__call(channel, kind, number, method, frame, timeout_ms);
}

/* Whether a call failed before it went out, or when its results came in, and why has been said. */
static bool refused_here(void)
{
	bool refused = vmrpc__self->refused;

	vmrpc__self->refused = false;
	return refused;
}

/* Opens or reopens what is missing, then calls; once more on a new server where the method allows that. */
static __attribute__((noinline)) int call_slowly(struct vmrpc *conn, const struct vmrpc_service *service, uint32_t kind,
						 uint32_t number, const struct vmrpc_method *method, void *frame)
{
	for (int attempt = 0;; attempt++) {
		struct vmrpc__channel *channel;
		int r = vmrpc__channel_get(&channel, conn);

		if (r < 0)
			return r;
		if (kind == VMRPC__CALL && number < service->n_methods && channel->session->verdicts[number]) {
			return explain_verdict(channel->session, service, number);
		}
		r = call_on(channel, kind, number, method, frame, timeout_of(conn, method));
		if (r == 0 || refused_here())
			return r;
		if (!lost())
			return explain(service, method, channel->earlier, r);
		if (r != -EPIPE || attempt > 0 || !(method->flags & VMRPC_METHOD_IDEMPOTENT))
			return explain_lost(service, method, r);
	}
}

static __attribute__((noinline)) int failed(struct vmrpc *conn, const struct vmrpc_service *service, uint32_t index,
					    const struct vmrpc_method *method, void *frame,
					    struct vmrpc__channel *channel, int error)
{
	if (refused_here())
		return error;
	if (lost() && error == -EPIPE && method->flags & VMRPC_METHOD_IDEMPOTENT)
		return call_slowly(conn, service, VMRPC__CALL, index, method, frame);
	if (lost())
		return explain_lost(service, method, error);
	if (channel->session->verdicts[index] && !channel->earlier)
		return explain_verdict(channel->session, service, index);
	return explain(service, method, channel->earlier, error);
}

static __attribute__((noinline)) int post(struct vmrpc *conn, const struct vmrpc_service *service, uint32_t index,
					  const struct vmrpc_method *method, void *frame)
{
	struct vmrpc__channel *channel = channel_at_hand(conn);
	int r;

	if (!channel) {
		r = vmrpc__channel_get(&channel, conn);
		if (r < 0)
			return r;
	}
	if (vmrpc__unlikely(channel->session->verdicts[index]))
		return explain_verdict(channel->session, service, index);
	/* A frame too large for a cell of the ring is waited for: order and result are the same. */
	if (method->frame_size > VMRPC__CELL_WORDS * 8)
		return call_slowly(conn, service, VMRPC__CALL, index, method, frame);
	r = method->n_passes ? vmrpc__pass_post(channel, index, method, frame, timeout_of(conn, method))
			     : vmrpc__post(channel, index, method, frame, timeout_of(conn, method));
	if (r < 0 && refused_here())
		return r;
	return r < 0 ? explain_lost(service, method, r) : 0;
}

int vmrpc_stub_call(struct vmrpc *conn, const struct vmrpc_service *service, uint32_t index, void *frame)
{
	const struct vmrpc_method *method = &service->methods[index];
	struct vmrpc__channel *channel;
	int r;

	if (!conn)
		conn = __atomic_load_n(&service->binding->conn, __ATOMIC_ACQUIRE);
	if (vmrpc__unlikely(!conn)) {
		r = vmrpc__connection_of(service, &conn);
		if (r < 0)
			return r;
	}
	if (vmrpc__unlikely(method->flags & VMRPC_METHOD_ASYNC))
		return post(conn, service, index, method, frame);
	channel = channel_at_hand(conn);
	if (vmrpc__unlikely(!channel))
		return call_slowly(conn, service, VMRPC__CALL, index, method, frame);
	r = call_on(channel, VMRPC__CALL, index, method, frame, timeout_of(conn, method));
	if (vmrpc__unlikely(r < 0))
		return failed(conn, service, index, method, frame, channel, r);
	return 0;
}

int vmrpc_stub_flush(struct vmrpc *conn, const struct vmrpc_service *service)
{
	if (!conn)
		conn = __atomic_load_n(&service->binding->conn, __ATOMIC_ACQUIRE);
	if (!conn)
		return 0; /* nothing was ever called */
	return call_slowly(conn, service, VMRPC__SYSTEM, VMRPC__SYSTEM_FLUSH,
			   &vmrpc__system_methods[VMRPC__SYSTEM_FLUSH], NULL);
}

int vmrpc_stub_callback(const struct vmrpc_service *service, uint32_t index, void *frame)
{
	struct vmrpc__channel *channel = vmrpc__self ? vmrpc__self->serving : NULL;
	const struct vmrpc_method *method = &service->callbacks[index];
	int r;

	if (!channel || channel->session->side != VMRPC__SERVER)
		return vmrpc__fail(EINVAL,
				   "%s.%s can only be called while a call of a client is being served, by the thread "
				   "that serves it",
				   service->name, method->name);
	if (channel->session->callbacks[index] == UINT32_MAX)
		return vmrpc__fail(ENOSYS, "%s.%s: the client has no such callback, or one of another layout",
				   service->name, method->name);
	if (channel->unattended)
		return vmrpc__fail(ENOTSUP,
				   "%s.%s cannot be called by an asynchronous method, whose caller does not wait",
				   service->name, method->name);
	if (atomic_load_explicit(&channel->session->ended, memory_order_relaxed) || atomic_load(&channel->closing))
		return explain_lost(service, method, -EPIPE);
	r = vmrpc__call(channel, VMRPC__CALL, channel->session->callbacks[index], method, frame,
			method->timeout_ms ? (int64_t)method->timeout_ms : -1);
	if (r == 0)
		return 0;
	return lost() ? explain_lost(service, method, r) : explain(service, method, false, r);
}

struct vmrpc *vmrpc_current(void)
{
	return vmrpc__self && vmrpc__self->serving ? vmrpc__self->serving->conn : NULL;
}
