/* Handles at the callee: objects of a library that a client knows by number.
 *
 * A number holds an index and a generation. It is looked up, never followed: a peer that makes one up, or uses one that
 * is closed, of another type, or of an earlier connection, gets -EBADF. */
#include "pass.h"

#include <stdlib.h>
#include <sys/random.h>

struct handle {
	void *object; /* NULL: free */
	const struct vmrpc_handle_type *type;
	void (*close)(void *object);
	uint32_t generation;
	uint32_t uses; /* calls that work with it now, or with what lives with it */
	/* One more than the index of another; 0: none. */
	uint32_t parent;		/* the handle it goes with */
	uint32_t child, sibling, elder; /* those that go with it; with the same one, after and before it */
	uint32_t next;			/* in its chain by object, or among the free ones */
	uint64_t serial;
	bool borrowed, closing;
};

struct vmrpc__handles {
	pthread_mutex_t lock;
	struct handle *handles;
	uint32_t *chains; /* by object: one more than an index; as many as capacity, a power of two */
	uint32_t n, capacity, free, first_generation;
	uint64_t serial;
};

#define HANDLES_MAX ((uint32_t)1 << 24)

static uint64_t word_of(const struct vmrpc__handles *table, uint32_t index)
{
	return VMRPC__HANDLE | (uint64_t)table->handles[index].generation << 28 | (uint64_t)index << 4;
}

static uint32_t chain_of(const struct vmrpc__handles *table, const void *object)
{
	uint64_t hash = (uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(hash >> 40) & (table->capacity - 1);
}

static struct vmrpc__handles *table_of(struct vmrpc__session *session)
{
	struct vmrpc__handles *table, *none = NULL;

	/* Acquire: whoever made it. */
	table = atomic_load_explicit(&session->handles, memory_order_acquire);
	if (table)
		return table;
	table = calloc(1, sizeof *table);
	if (!table)
		return NULL;
	pthread_mutex_init(&table->lock, NULL);
	/* So that a number of an earlier connection is not by chance one of this. */
	if (getrandom(&table->first_generation, sizeof table->first_generation, GRND_NONBLOCK) < 0)
		table->first_generation = (uint32_t)vmrpc__now();
	if (atomic_compare_exchange_strong(&session->handles, &none, table))
		return table;
	pthread_mutex_destroy(&table->lock);
	free(table);
	return none;
}

/* Makes room for one more. */
static int grow(struct vmrpc__handles *table)
{
	const uint32_t capacity = table->capacity ? 2 * table->capacity : 16;
	struct handle *handles;
	uint32_t *chains;

	if (table->n < table->capacity)
		return 0;
	if (capacity > HANDLES_MAX)
		return vmrpc__fail(ENOMEM, "a client has %u handles open, which is the most it may have", HANDLES_MAX);
	handles = realloc(table->handles, capacity * sizeof *handles);
	if (handles)
		table->handles = handles;
	chains = handles ? calloc(capacity, sizeof *chains) : NULL;
	if (!chains)
		return vmrpc__fail(ENOMEM, "no memory for a handle");
	free(table->chains);
	table->chains = chains;
	table->capacity = capacity;
	for (uint32_t i = 0; i < table->n; i++) {
		uint32_t *chain = &chains[chain_of(table, table->handles[i].object)];

		if (!table->handles[i].object)
			continue; /* only when none is free does it grow */
		table->handles[i].next = *chain;
		*chain = i + 1;
	}
	return 0;
}

static void unlink_handle(struct vmrpc__handles *table, uint32_t index)
{
	uint32_t *link = &table->chains[chain_of(table, table->handles[index].object)];

	while (*link != index + 1)
		link = &table->handles[*link - 1].next;
	*link = table->handles[index].next;
}

/* Takes a handle out of the list of those that live with the same one. */
static void leave_parent(struct vmrpc__handles *table, const struct handle *handle)
{
	if (handle->elder)
		table->handles[handle->elder - 1].sibling = handle->sibling;
	else if (handle->parent)
		table->handles[handle->parent - 1].child = handle->sibling;
	if (handle->sibling)
		table->handles[handle->sibling - 1].elder = handle->elder;
}

/* Forgets a handle, and those that live with it: however many, and however deep, without recursion. */
static void forget(struct vmrpc__handles *table, uint32_t index)
{
	uint32_t pending = index + 1; /* linked by sibling */

	leave_parent(table, &table->handles[index]);
	table->handles[index].sibling = 0;
	while (pending) {
		const uint32_t current = pending - 1;
		struct handle *handle = &table->handles[current];

		pending = handle->sibling;
		for (uint32_t child = handle->child, next; child; child = next) {
			next = table->handles[child - 1].sibling;
			table->handles[child - 1].sibling = pending;
			pending = child;
		}
		unlink_handle(table, current);
		handle->object = NULL;
		handle->generation++;
		handle->next = table->free;
		table->free = current + 1;
	}
}

static struct handle *find(struct vmrpc__handles *table, uint64_t word)
{
	const uint64_t index = word >> 4 & (HANDLES_MAX - 1);

	if (index >= table->n || !table->handles[index].object || word != word_of(table, (uint32_t)index))
		return NULL;
	return &table->handles[index];
}

#define NARROW_INDEX 20u /* bits */

int vmrpc__handle_narrow(uint64_t word, int64_t *ret_number)
{
	const uint64_t index = word >> 4 & (HANDLES_MAX - 1), generation = word >> 28 & 0x7ff;

	if (index + 1 >= 1u << NARROW_INDEX)
		return -ENOMEM;
	*ret_number = (int64_t)(generation << NARROW_INDEX | (index + 1));
	return 0;
}

uint64_t vmrpc__handle_widen(struct vmrpc__session *session, int64_t number)
{
	struct vmrpc__handles *table = table_of(session);
	const uint64_t index = ((uint64_t)number & ((1u << NARROW_INDEX) - 1)) - 1;
	uint64_t word = VMRPC__HANDLE | (HANDLES_MAX - 1) << 4; /* nobody has the last one */

	if (!table)
		return word;
	pthread_mutex_lock(&table->lock);
	if (index < table->n && (table->handles[index].generation & 0x7ff) == (uint64_t)number >> NARROW_INDEX)
		word = word_of(table, (uint32_t)index);
	pthread_mutex_unlock(&table->lock);
	return word;
}

/* The number that the object of a type has, and that is not about to end. */
static uint32_t known(const struct vmrpc__handles *table, const void *object, const struct vmrpc_handle_type *type)
{
	uint32_t index = table->capacity ? table->chains[chain_of(table, object)] : 0;

	for (; index; index = table->handles[index - 1].next) {
		const struct handle *handle = &table->handles[index - 1];

		if (handle->object == object && handle->type == type && !handle->closing)
			break;
	}
	return index;
}

/* Whether there is another number for the same. */
static bool other_of(const struct vmrpc__handles *table, const struct handle *handle)
{
	for (uint32_t i = table->chains[chain_of(table, handle->object)]; i; i = table->handles[i - 1].next)
		if (table->handles[i - 1].object == handle->object && table->handles[i - 1].type == handle->type &&
		    &table->handles[i - 1] != handle)
			return true;
	return false;
}

int vmrpc__handle_put(struct vmrpc__session *session, const struct vmrpc_pass *pass, void *object, uint64_t parent,
		      uint64_t *ret_word)
{
	struct vmrpc__handles *table = table_of(session);
	uint32_t index;
	int r = 0;

	if (!table)
		return vmrpc__fail(ENOMEM, "no memory for a handle");
	pthread_mutex_lock(&table->lock);
	index = known(table, object, pass->handle);
	if (index) {
		*ret_word = word_of(table, index - 1);
		goto out;
	}
	if (table->free) {
		index = table->free - 1;
		table->free = table->handles[index].next;
	} else {
		r = grow(table);
		if (r < 0)
			goto out;
		index = table->n++;
		table->handles[index] = (struct handle){.generation = table->first_generation};
	}
	{
		struct handle *handle = &table->handles[index];
		uint32_t *chain = &table->chains[chain_of(table, object)];
		struct handle *owner = parent ? find(table, parent) : NULL;

		*handle = (struct handle){
			.object = object,
			.type = pass->handle,
			.close = pass->close ? pass->close : pass->handle->close,
			.generation = handle->generation,
			.parent = owner ? (uint32_t)(owner - table->handles) + 1 : 0,
			.sibling = owner ? owner->child : 0,
			.next = *chain,
			.serial = ++table->serial,
			.borrowed = pass->flags & VMRPC_PASS_BORROWED,
		};
		*chain = index + 1;
		if (handle->sibling)
			table->handles[handle->sibling - 1].elder = index + 1;
		if (owner)
			owner->child = index + 1;
		*ret_word = word_of(table, index);
	}
out:
	pthread_mutex_unlock(&table->lock);
	return r;
}

static struct handle *parent_of(struct vmrpc__handles *table, const struct handle *handle)
{
	return handle->parent ? &table->handles[handle->parent - 1] : NULL;
}

int vmrpc__handle_get(struct vmrpc__session *session, const struct vmrpc_handle_type *type, uint64_t word,
		      void **ret_object)
{
	struct vmrpc__handles *table = table_of(session);
	struct handle *handle;
	int r = -EBADF;

	if (!table)
		return -ENOMEM;
	pthread_mutex_lock(&table->lock);
	handle = find(table, word);
	if (!handle || handle->type != type)
		goto out;
	for (const struct handle *each = handle; each; each = parent_of(table, each))
		if (each->closing)
			goto out;
	*ret_object = handle->object;
	for (; handle; handle = parent_of(table, handle))
		handle->uses++;
	r = 0;
out:
	pthread_mutex_unlock(&table->lock);
	return r;
}

int vmrpc__handle_close(struct vmrpc__session *session, uint64_t word)
{
	struct vmrpc__handles *table = table_of(session);
	struct handle *handle;
	int r = -EBADF;

	if (!table)
		return -ENOMEM;
	pthread_mutex_lock(&table->lock);
	handle = find(table, word);
	/* A library that two threads let close and use one thing at once may do anything; only those who trust each
	 * other may find out what. */
	if (handle && handle->uses > 1 && !session->trust) {
		r = -EBUSY;
	} else if (handle && !handle->closing) {
		handle->closing = true;
		r = 0;
	}
	pthread_mutex_unlock(&table->lock);
	return r;
}

void vmrpc__handle_closed(struct vmrpc__session *session, uint64_t word, bool closed)
{
	struct vmrpc__handles *table = table_of(session);
	struct handle *handle;

	if (!table)
		return;
	pthread_mutex_lock(&table->lock);
	handle = find(table, word);
	if (handle) {
		handle->closing = false;
		/* While it was closing another call may have given the object a number anew. Two would outlive each
		 * other; the new one stays. */
		if (closed || other_of(table, handle)) {
			/* vmrpc__handle_done will not find it any more. */
			for (struct handle *each = parent_of(table, handle); each; each = parent_of(table, each))
				each->uses -= handle->uses;
			forget(table, (uint32_t)(handle - table->handles));
		}
	}
	pthread_mutex_unlock(&table->lock);
}

void vmrpc__handle_done(struct vmrpc__session *session, uint64_t word)
{
	struct vmrpc__handles *table = table_of(session);

	if (!table)
		return;
	pthread_mutex_lock(&table->lock);
	for (struct handle *handle = find(table, word); handle; handle = parent_of(table, handle))
		handle->uses--;
	pthread_mutex_unlock(&table->lock);
}

static int newest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct handle *)a)->serial, y = ((const struct handle *)b)->serial;

	return x > y ? -1 : x < y;
}

void vmrpc__handles_free(struct vmrpc__session *session)
{
	struct vmrpc__handles *table = atomic_exchange(&session->handles, NULL);

	if (!table)
		return;
	qsort(table->handles, table->n, sizeof *table->handles, newest_first);
	for (uint32_t i = 0; i < table->n; i++) {
		const struct handle *handle = &table->handles[i];

		if (handle->object && handle->close && !handle->borrowed && !handle->parent)
			handle->close(handle->object);
	}
	pthread_mutex_destroy(&table->lock);
	free(table->handles);
	free(table->chains);
	free(table);
}
