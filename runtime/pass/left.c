/* What was staged for calls that timed out: the server may use it until it lets go of their channel. */
#include "pass.h"

#include <stdlib.h>

struct vmrpc__left {
	struct vmrpc__left *next;
	uint32_t index, generation; /* of the channel */
	size_t offset;		    /* of the block */
};

void vmrpc__left_add(struct vmrpc__session *session, uint32_t index, uint32_t generation, size_t offset)
{
	struct vmrpc__left *left = malloc(sizeof *left);

	if (!left)
		return; /* until the session ends, then */
	*left = (struct vmrpc__left){.index = index, .generation = generation, .offset = offset};
	pthread_mutex_lock(&session->lock);
	left->next = session->left;
	session->left = left;
	pthread_mutex_unlock(&session->lock);
}

static bool is_let_go(const struct vmrpc__session *session, const struct vmrpc__left *left)
{
	/* Acquire: whatever the server did with the block, before serve_thread()'s release. */
	const uint32_t word =
		atomic_load_explicit(&vmrpc__session_doorplate(session, left->index)->server, memory_order_acquire);
	const uint32_t ahead = word / 2 - left->generation;

	return ahead == 0 ? word % 2 == 0 : ahead < UINT32_MAX / 4;
}

void vmrpc__left_release(struct vmrpc__session *session)
{
	struct vmrpc__left *done = NULL, **link;

	pthread_mutex_lock(&session->lock);
	for (link = &session->left; *link;) {
		struct vmrpc__left *left = *link;

		if (!is_let_go(session, left)) {
			link = &left->next;
			continue;
		}
		*link = left->next;
		left->next = done;
		done = left;
	}
	pthread_mutex_unlock(&session->lock);
	while (done) {
		struct vmrpc__left *left = done;

		done = left->next;
		vmrpc__arena_release(session->arena, left->offset);
		free(left);
	}
}

void vmrpc__left_free(struct vmrpc__session *session)
{
	while (session->left) {
		struct vmrpc__left *left = session->left;

		session->left = left->next;
		free(left);
	}
}
