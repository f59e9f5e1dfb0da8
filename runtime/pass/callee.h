/* What callee.c and callee_deep.c share. */
#ifndef VMRPC_CALLEE_H
#define VMRPC_CALLEE_H

#include "pass.h"

#define ALIGNMENT 16u
#define NEARBY	  1024u
#define FAR	  ((size_t)64 << 10)

struct far_block { /* private memory beyond what lies nearby */
	struct far_block *next;
	size_t used, room;
	_Alignas(ALIGNMENT) unsigned char bytes[];
};

struct held { /* handles of one array, which are in use until the call is done */
	struct held *next;
	uint64_t n;
	uint64_t words[];
};

struct served {
	struct vmrpc__channel *channel;
	struct vmrpc__session *session;
	const struct vmrpc_method *method;
	unsigned char *frame;
	struct vmrpc__piece *pieces;
	uint64_t *words; /* by field: a handle that came, something staged, or a result as it goes */
	struct vmrpc__view view;
	struct vmrpc__nodes nodes; /* of deeper data */
	struct held *held;
	struct far_block *far;
	size_t spill_taken; /* by copies that the caller fetches */
	size_t nearby_used;
	_Alignas(ALIGNMENT) unsigned char nearby[NEARBY];
};

static inline bool is_string(const struct vmrpc_pass *pass)
{
	return pass->extent == VMRPC_EXTENT_STRING || pass->extent == VMRPC_EXTENT_STRING_MAX;
}

/* callee.c. Private memory lasts until the call is done. */
void *vmrpc__take_memory(struct served *served, uint64_t size);
unsigned char *vmrpc__private_copy(struct served *served, const unsigned char *shared, uint64_t size);
/* Looks at what a client that is not believed says, or what is changed on its way: where it lies, and how much. */
int vmrpc__check_data(struct served *served, const struct vmrpc__view *view, const struct vmrpc_pass *pass,
		      uint64_t word, struct vmrpc__piece *piece);
/* A string that was copied ends where it ended when it was measured. */
int vmrpc__terminate(const struct vmrpc__view *view, const struct vmrpc_pass *pass, unsigned char *copy, uint64_t size);
int vmrpc__hold_handle(struct served *served, const struct vmrpc_pass *pass, uint64_t word, void **ret_object);
/* A pointer of ours as it may travel. */
int vmrpc__word_back(struct served *served, const struct vmrpc_pass *pass, unsigned char *address, uint64_t *ret_word);

/* callee_deep.c: makes a private copy of a checked piece and of all that its pointers lead to, with pointers that lead
 * to it; writes back what may have changed. */
int vmrpc__deep_take(struct served *served, const struct vmrpc_pass *pass, struct vmrpc__piece *piece);
int vmrpc__deep_give(struct served *served, const struct vmrpc__piece *piece);

#endif
