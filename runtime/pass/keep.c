/* The caller's memory of what calls gave it: results that live until the next call or for ever, and the objects that
 * stand for handles on complete types. */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

/* ---- until the next call ------------------------------------------------------------------------------------- */

struct vmrpc__borrowed {
	struct vmrpc__borrowed *next;
	const struct vmrpc_method *method;
	uint64_t handle;
	_Alignas(16) unsigned char bytes[];
};

void *vmrpc__keep_borrowed(const struct vmrpc_method *method, uint64_t handle, const void *bytes, size_t size)
{
	struct vmrpc__thread *thread = vmrpc__thread_get();
	struct vmrpc__borrowed *kept, **link;

	kept = thread ? malloc(sizeof *kept + size) : NULL;
	if (!kept)
		return NULL;
	*kept = (struct vmrpc__borrowed){.method = method, .handle = handle};
	memcpy(kept->bytes, bytes, size);
	for (link = &thread->borrowed; *link; link = &(*link)->next)
		if ((*link)->method == method && (*link)->handle == handle) {
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

		kept = malloc(sizeof *kept + room);
		if (kept) {
			*kept = (struct eternal){*chain, session->serial, identity, room};
			memset(kept->bytes, 0, room);
			*chain = kept;
		}
	}
	if (kept && memcmp(kept->bytes, bytes, size) != 0)
		memcpy(kept->bytes, bytes, size);
	pthread_mutex_unlock(&eternal_lock);
	return kept ? kept->bytes : NULL;
}

/* ---- objects that stand for handles ---------------------------------------------------------------------------- */

struct vmrpc__object {
	struct vmrpc__object *next;
	uint64_t word;
	_Alignas(16) unsigned char bytes[]; /* zeroed, as large as the type */
};

void *vmrpc__object_of(struct vmrpc *conn, const struct vmrpc_handle_type *type, uint64_t word)
{
	struct vmrpc__object *object;

	pthread_mutex_lock(&conn->objects_lock);
	for (object = conn->objects; object && object->word != word; object = object->next)
		;
	if (!object) {
		object = calloc(1, sizeof *object + type->object_size);
		if (object) {
			object->word = word;
			object->next = conn->objects;
			conn->objects = object;
		}
	}
	pthread_mutex_unlock(&conn->objects_lock);
	return object ? object->bytes : NULL;
}

uint64_t vmrpc__object_word(struct vmrpc *conn, const void *address)
{
	struct vmrpc__object *object;
	uint64_t word;

	pthread_mutex_lock(&conn->objects_lock);
	for (object = conn->objects; object && object->bytes != address; object = object->next)
		;
	word = object ? object->word : 0;
	pthread_mutex_unlock(&conn->objects_lock);
	return word;
}

void vmrpc__object_forget(struct vmrpc *conn, uint64_t word)
{
	struct vmrpc__object **link, *object;

	pthread_mutex_lock(&conn->objects_lock);
	for (link = &conn->objects; *link && (*link)->word != word; link = &(*link)->next)
		;
	object = *link;
	if (object)
		*link = object->next;
	pthread_mutex_unlock(&conn->objects_lock);
	free(object);
}

void vmrpc__objects_free(struct vmrpc *conn)
{
	while (conn->objects) {
		struct vmrpc__object *object = conn->objects;

		conn->objects = object->next;
		free(object);
	}
}
