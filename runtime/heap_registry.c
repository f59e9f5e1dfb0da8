/* The arenas of this process, to tell which one an address belongs to. Asked only by threads that have no cache of that
 * arena yet. */
#include "heap_internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct vmrpc__arena *arenas;
static unsigned generation; /* changes in a fork child, before it has other threads */

unsigned vmrpc__process_generation(void)
{
	return generation;
}

void vmrpc__registry_of_arenas_add(struct vmrpc__arena *arena)
{
	pthread_mutex_lock(&lock);
	arena->next = arenas;
	arenas = arena;
	pthread_mutex_unlock(&lock);
}

void vmrpc__registry_of_arenas_remove(struct vmrpc__arena *arena)
{
	struct vmrpc__arena **link = &arenas;

	pthread_mutex_lock(&lock);
	while (*link && *link != arena)
		link = &(*link)->next;
	if (*link)
		*link = arena->next;
	vmrpc__caches_detach(arena);
	pthread_mutex_unlock(&lock);
}

struct vmrpc__arena *vmrpc__registry_of_arenas_find(const void *pointer)
{
	struct vmrpc__arena *arena;

	pthread_mutex_lock(&lock);
	for (arena = arenas; arena; arena = arena->next)
		if ((uintptr_t)pointer - (uintptr_t)arena->base < arena->reserved)
			break;
	pthread_mutex_unlock(&lock);
	return arena;
}

void vmrpc__registry_of_arenas_hold(void)
{
	pthread_mutex_lock(&lock);
}

void vmrpc__registry_of_arenas_let_go(void)
{
	pthread_mutex_unlock(&lock);
}

void vmrpc__registry_of_arenas_forget(void)
{
	pthread_mutex_init(&lock, NULL); /* a thread of the parent may have held it */
	arenas = NULL;
	generation++;
}
