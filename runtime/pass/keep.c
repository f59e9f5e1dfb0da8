/* The caller's memory of what calls gave it: results that live until the next call or for ever, and the objects that
 * stand for handles on complete types. */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

/* ---- until the next call ------------------------------------------------------------------------------------- */

struct vmrpc__borrowed {
	struct vmrpc__borrowed *next;
	const struct vmrpc_pass *pass;
	uint64_t handle;
	_Alignas(16) unsigned char bytes[];
};

void *vmrpc__keep_borrowed(const struct vmrpc_pass *pass, uint64_t handle, const void *bytes, size_t size)
{
	struct vmrpc__thread *thread = vmrpc__thread_get();
	struct vmrpc__borrowed *kept, **link;

	kept = thread ? malloc(sizeof *kept + size) : NULL;
	if (!kept)
		return NULL;
	*kept = (struct vmrpc__borrowed){.pass = pass, .handle = handle};
	memcpy(kept->bytes, bytes, size);
	for (link = &thread->borrowed; *link; link = &(*link)->next)
		if ((*link)->pass == pass && (*link)->handle == handle) {
			struct vmrpc__borrowed *last = *link;

			*link = last->next;
			free(last);
			break;
		}
	kept->next = thread->borrowed;
	thread->borrowed = kept;
	return kept->bytes;
}

void vmrpc__borrowed_free(struct vmrpc__thread *thread)
{
	while (thread->borrowed) {
		struct vmrpc__borrowed *kept = thread->borrowed;

		thread->borrowed = kept->next;
		free(kept);
	}
}

/* ---- for ever -------------------------------------------------------------------------------------------------- */

struct eternal {
	struct eternal *next;
	uint64_t session, identity;
	size_t room;
	_Alignas(16) unsigned char bytes[];
};

#define ETERNAL_CHAINS 256
#define ZEROS	       16 /* behind all room, always: a string that changes under its reader still ends */
static struct eternal *eternals[ETERNAL_CHAINS]; /* never freed: that is what was promised */
static pthread_mutex_t eternal_lock = PTHREAD_MUTEX_INITIALIZER;

void *vmrpc__keep_for_ever(const struct vmrpc__session *session, uint64_t identity, const void *bytes, size_t size)
{
	struct eternal **chain = &eternals[(identity ^ identity >> 32 ^ session->serial) % ETERNAL_CHAINS], *kept;

	pthread_mutex_lock(&eternal_lock);
	for (kept = *chain; kept; kept = kept->next)
		if (kept->session == session->serial && kept->identity == identity && kept->room >= size)
			break;
	if (!kept) {
		const size_t room = size < 64 ? 64 : size + size / 2;

		kept = calloc(1, sizeof *kept + room + ZEROS);
		if (kept) {
			*kept = (struct eternal){*chain, session->serial, identity, room};
			*chain = kept;
		}
	}
	if (kept && memcmp(kept->bytes, bytes, size) != 0)
		memcpy(kept->bytes, bytes, size);
	pthread_mutex_unlock(&eternal_lock);
	return kept ? kept->bytes : NULL;
}

/* ---- objects that stand for handles ---------------------------------------------------------------------------- */

struct object {
	struct object *next_by_word, *next_by_address;
	uint64_t word;
	_Alignas(16) unsigned char bytes[]; /* zeroed, as large as the type */
};

struct chains {
	struct object *by_word, *by_address;
};

struct vmrpc__objects {
	struct chains *chains; /* capacity of them, a power of two */
	size_t n, capacity;
};

static size_t chain_of(const struct vmrpc__objects *objects, uint64_t key)
{
	return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (objects->capacity - 1);
}

static void link_object(struct vmrpc__objects *objects, struct object *object)
{
	struct object **by_word = &objects->chains[chain_of(objects, object->word)].by_word;
	struct object **by_address = &objects->chains[chain_of(objects, (uintptr_t)object->bytes)].by_address;

	object->next_by_word = *by_word;
	*by_word = object;
	object->next_by_address = *by_address;
	*by_address = object;
}

/* Makes room for one more. */
static bool grow(struct vmrpc__objects *objects)
{
	struct vmrpc__objects larger = {.n = objects->n, .capacity = objects->capacity ? 2 * objects->capacity : 16};

	if (objects->n < objects->capacity)
		return true;
	larger.chains = calloc(larger.capacity, sizeof *larger.chains);
	if (!larger.chains)
		return objects->capacity > 0; /* slower from here on */
	for (size_t i = 0; i < objects->capacity; i++)
		for (struct object *object = objects->chains[i].by_word, *next; object; object = next) {
			next = object->next_by_word;
			link_object(&larger, object);
		}
	free(objects->chains);
	*objects = larger;
	return true;
}

static struct object *object_new(struct vmrpc *conn, size_t size, uint64_t word)
{
	struct object *object;

	if (!conn->objects)
		conn->objects = calloc(1, sizeof *conn->objects);
	if (!conn->objects || !grow(conn->objects))
		return NULL;
	object = calloc(1, sizeof *object + size);
	if (!object)
		return NULL;
	object->word = word;
	link_object(conn->objects, object);
	conn->objects->n++;
	return object;
}

static struct object *object_by_word(const struct vmrpc__objects *objects, uint64_t word)
{
	struct object *object = objects && objects->n ? objects->chains[chain_of(objects, word)].by_word : NULL;

	while (object && object->word != word)
		object = object->next_by_word;
	return object;
}

void *vmrpc__object_of(struct vmrpc *conn, const struct vmrpc_handle_type *type, uint64_t word)
{
	struct object *object;

	pthread_mutex_lock(&conn->objects_lock);
	object = object_by_word(conn->objects, word);
	if (!object)
		object = object_new(conn, type->object_size, word);
	pthread_mutex_unlock(&conn->objects_lock);
	return object ? object->bytes : NULL;
}

uint64_t vmrpc__object_word(struct vmrpc *conn, const void *address)
{
	const struct vmrpc__objects *objects;
	const struct object *object = NULL;
	uint64_t word;

	pthread_mutex_lock(&conn->objects_lock);
	objects = conn->objects;
	if (objects && objects->n)
		object = objects->chains[chain_of(objects, (uintptr_t)address)].by_address;
	while (object && object->bytes != address)
		object = object->next_by_address;
	word = object ? object->word : 0;
	pthread_mutex_unlock(&conn->objects_lock);
	return word;
}

void vmrpc__object_forget(struct vmrpc *conn, uint64_t word)
{
	struct vmrpc__objects *objects;
	struct object *object;

	pthread_mutex_lock(&conn->objects_lock);
	objects = conn->objects;
	object = object_by_word(objects, word);
	if (object) {
		struct object **link = &objects->chains[chain_of(objects, word)].by_word;

		while (*link != object)
			link = &(*link)->next_by_word;
		*link = object->next_by_word;
		link = &objects->chains[chain_of(objects, (uintptr_t)object->bytes)].by_address;
		while (*link != object)
			link = &(*link)->next_by_address;
		*link = object->next_by_address;
		objects->n--;
	}
	pthread_mutex_unlock(&conn->objects_lock);
	free(object);
}

void vmrpc__objects_free(struct vmrpc *conn)
{
	struct vmrpc__objects *objects = conn->objects;

	for (size_t i = 0; objects && i < objects->capacity; i++)
		for (struct object *object = objects->chains[i].by_word, *next; object; object = next) {
			next = object->next_by_word;
			free(object);
		}
	if (objects)
		free(objects->chains);
	free(objects);
	conn->objects = NULL;
}
