/* What the library knows of each thread of this process, found through one thread-local pointer. */
#include <stdlib.h>

#include "internal.h"

_Thread_local struct vmrpc__thread *vmrpc__self;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* only for its destructor, which ends what the thread leaves behind */
static bool key_made;
static pthread_mutex_t list_lock =
	PTHREAD_MUTEX_INITIALIZER; /* of the list, and of every thread's table when it moves */
static struct vmrpc__thread *list;

static void thread_ends(void *arg)
{
	struct vmrpc__thread *thread = arg;

	vmrpc__self = thread;	 /* closing a channel is a matter of this thread, whatever other destructors did */
	vmrpc__caches_release(); /* first: what becomes empty by it may have to be said to the server */
	for (uint32_t i = 0; i < thread->n_channels; i++) {
		struct vmrpc__channel *channel;

		pthread_mutex_lock(&list_lock);
		channel = atomic_exchange_explicit(&thread->channels[i], NULL, memory_order_relaxed);
		pthread_mutex_unlock(&list_lock);
		if (!channel)
			continue;
		/* A thread that ends in a callback or on its RPC stack has left both. */
		channel->stack_calls = 0;
		atomic_store_explicit(&channel->depth, 0, memory_order_relaxed);
		vmrpc__channel_close(channel);
	}

	pthread_mutex_lock(&list_lock);
	*thread->link = thread->next;
	if (thread->next)
		thread->next->link = thread->link;
	pthread_mutex_unlock(&list_lock);
	vmrpc__self = NULL;
	vmrpc__borrowed_free(thread);
	free(thread->channels);
	free(thread);
}

static void make_key(void)
{
	key_made = pthread_key_create(&key, thread_ends) == 0;
}

struct vmrpc__thread *vmrpc__thread_get(void)
{
	struct vmrpc__thread *thread = vmrpc__self;

	if (vmrpc__likely(thread))
		return thread;
	pthread_once(&once, make_key);
	thread = key_made ? calloc(1, sizeof *thread) : NULL;
	if (!thread)
		return NULL;
	if (pthread_setspecific(key, thread) != 0) {
		free(thread);
		return NULL;
	}
	pthread_mutex_lock(&list_lock);
	thread->next = list;
	thread->link = &list;
	if (list)
		list->link = &thread->next;
	list = thread;
	pthread_mutex_unlock(&list_lock);
	vmrpc__self = thread;
	return thread;
}

int vmrpc__thread_register(void)
{
	return vmrpc__thread_get() ? 0 : -ENOMEM;
}

int vmrpc__thread_set_channel(struct vmrpc__thread *thread, uint32_t id, struct vmrpc__channel *channel)
{
	if (id >= thread->n_channels) {
		uint32_t n = id + 8;
		struct vmrpc__channel *_Atomic *channels = calloc(n, sizeof *channels);
		struct vmrpc__channel *_Atomic *old = thread->channels;

		if (!channels)
			return vmrpc__fail(ENOMEM, "no memory for a thread's table of channels");
		pthread_mutex_lock(&list_lock); /* against vmrpc__threads_drop in another thread */
		for (uint32_t i = 0; i < thread->n_channels; i++)
			atomic_init(&channels[i], atomic_load_explicit(&old[i], memory_order_relaxed));
		thread->channels = channels;
		thread->n_channels = n;
		pthread_mutex_unlock(&list_lock);
		free((void *)old);
	}
	atomic_store_explicit(&thread->channels[id], channel, memory_order_relaxed);
	return 0;
}

void vmrpc__threads_drop(uint32_t id)
{
	for (;;) {
		struct vmrpc__channel *found = NULL;

		pthread_mutex_lock(&list_lock);
		for (struct vmrpc__thread *thread = list; thread && !found; thread = thread->next)
			if (id < thread->n_channels)
				found = atomic_exchange_explicit(&thread->channels[id], NULL, memory_order_relaxed);
		pthread_mutex_unlock(&list_lock);
		if (!found)
			return;
		vmrpc__channel_close(found);
	}
}

void vmrpc__threads_lock(void)
{
	pthread_mutex_lock(&list_lock);
}

void vmrpc__threads_unlock(void)
{
	pthread_mutex_unlock(&list_lock);
}

void vmrpc__threads_forget(void)
{
	struct vmrpc__thread *self = vmrpc__self;

	/* Threads of the parent are not here, and what they owned is the parent's. */
	pthread_mutex_init(&list_lock, NULL);
	list = self;
	if (!self)
		return;
	self->next = NULL;
	self->link = &list;
	self->serving = NULL;
	for (uint32_t i = 0; i < self->n_channels; i++)
		atomic_store_explicit(&self->channels[i], NULL, memory_order_relaxed);
}
