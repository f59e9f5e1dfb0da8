/* The calling side of data deeper than one pointer: everything that can be reached is staged, level by level, and what
 * the callee changed goes back to where the caller has it.
 *
 * Where all of it lies in the region already, nothing is staged: a look at the pointers is all. */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT  16u
#define CHUNK_SIZE ((size_t)64 << 10)

struct vmrpc__chunk { /* staged nodes lie in blocks of our arena, many in one */
	struct vmrpc__chunk *next;
	size_t offset; /* of the block in the region */
};

/* Staging memory with the same address modulo 16. */
static unsigned char *stage(struct vmrpc__deep *deep, const unsigned char *original, uint64_t size)
{
	const size_t skew = (uintptr_t)original % ALIGNMENT;
	const size_t need = (skew + size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	unsigned char *at;

	if (need > deep->left || !deep->next) {
		const size_t room = need > CHUNK_SIZE / 4 ? need : CHUNK_SIZE;
		struct vmrpc__chunk *chunk = malloc(sizeof *chunk);
		unsigned char *block = chunk ? vmrpc__arena_malloc(deep->session->arena, room ? room : 1) : NULL;

		if (!block) {
			free(chunk);
			return NULL;
		}
		chunk->offset = (size_t)(block - deep->session->region.base);
		chunk->next = deep->chunks;
		deep->chunks = chunk;
		if (room == need && need)
			return block + skew; /* the chunk in use stays */
		deep->next = block;
		deep->left = room;
	}
	at = deep->next + skew;
	deep->next += need;
	deep->left -= need;
	return at;
}

struct visitor {
	struct vmrpc__deep *deep;
	uint32_t number; /* of the node whose pointers are visited */
	bool staging;	 /* else it is only asked whether all lies in the region */
};

static uint64_t load(const unsigned char *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof value);
	return value;
}

static int measure_child(const struct vmrpc__deep *deep, const struct vmrpc_inner *inner, const unsigned char *element,
			 const unsigned char *address, uint64_t *ret_from, uint64_t *ret_size)
{
	const struct vmrpc__view own = {element, NULL, inner->scope};

	return vmrpc__measure(inner->scope ? &own : deep->view, inner->pass, address, UINT64_MAX >> 1, ret_from,
			      ret_size);
}

static int visit_in(void *arg, const struct vmrpc_inner *inner, uint64_t element, uint64_t at, bool counts)
{
	struct visitor *visitor = arg;
	struct vmrpc__deep *deep = visitor->deep;
	const struct vmrpc__node parent = deep->nodes.nodes[visitor->number];
	const struct vmrpc_pass *pass = inner->pass;
	const uint64_t value = counts ? load(parent.mine + at) : 0;
	struct vmrpc__node child = {.pass = pass,
				    .direction = pass->direction ? pass->direction : parent.direction,
				    .key = value,
				    .word = value};
	uint64_t from;
	int64_t number;
	int r;

	if (!value && counts && pass->flags & VMRPC_PASS_NONNULL)
		return -EINVAL;
	if (pass->kind == VMRPC_PASS_SKIP) {
		if (value && !visitor->staging)
			return 1;
		child.word = 0;
	} else if (value && pass->kind == VMRPC_PASS_HANDLE) {
		child.word = pass->handle->object_size
				     ? vmrpc__object_word(deep->session->conn, (const void *)(uintptr_t)value)
				     : value;
		if (!(child.word & VMRPC__HANDLE))
			return -EBADF;
	} else if (value) {
		uint32_t earlier = deep->graph ? vmrpc__node_find(&deep->nodes, value, pass) : UINT32_MAX;

		child.mine = (unsigned char *)(uintptr_t)value;
		if (earlier != UINT32_MAX) {
			child.again = true;
			child.shared = deep->nodes.nodes[earlier].shared;
			child.word = deep->nodes.nodes[earlier].word;
		} else {
			const bool leaf = !pass->n_inner && vmrpc__in_region(deep->session, child.mine);

			if (!visitor->staging && !vmrpc__in_region(deep->session, child.mine))
				return 1;
			if (!leaf) {
				r = measure_child(deep, inner, parent.mine + element, child.mine, &from, &child.size);
				if (r < 0)
					return r;
			}
			child.shared = leaf || !visitor->staging ? child.mine : stage(deep, child.mine, child.size);
			if (!child.shared)
				return -ENOBUFS;
			child.word = vmrpc__to_word(deep->session, child.shared);
		}
	}
	if (visitor->staging && counts)
		memcpy(parent.shared + at, &child.word, sizeof child.word);
	number = vmrpc__node_add(&deep->nodes, &child, UINT64_MAX);
	if (number < 0)
		return (int)number;
	if (deep->graph && child.mine && !child.again)
		return vmrpc__node_remember(&deep->nodes, (uint32_t)number);
	return 0;
}

/* Visits all nodes from first on, those too that are found on the way. */
static int follow(struct vmrpc__deep *deep, uint32_t first, bool staging)
{
	int r = 0;

	for (uint32_t i = first; i < deep->nodes.n && r == 0; i++) {
		struct vmrpc__node *node = &deep->nodes.nodes[i];
		struct visitor visitor = {deep, i, staging};

		node->first = UINT32_MAX;
		if (!node->mine || node->again)
			continue;
		if (staging && node->shared != node->mine) {
			if (node->direction & VMRPC_GOES_IN)
				memcpy(node->shared, node->mine, node->size);
			else
				memset(node->shared, 0, node->size);
		}
		if (!node->pass->n_inner || !(node->direction & VMRPC_GOES_IN))
			continue;
		node->first = deep->nodes.n;
		r = vmrpc__each_slot(node->pass, node->mine, node->size, visit_in, &visitor);
	}
	return r;
}

static void forget_nodes(struct vmrpc__deep *deep, uint32_t first)
{
	deep->nodes.n = first;
	if (deep->nodes.n_seen)
		memset(deep->nodes.seen, 0, deep->nodes.n_seen * sizeof *deep->nodes.seen);
}

int vmrpc__deep_in(struct vmrpc__deep *deep, const struct vmrpc_pass *pass, struct vmrpc__piece *piece)
{
	struct vmrpc__node root = {.pass = pass,
				   .mine = piece->mine,
				   .shared = piece->mine,
				   .size = piece->size,
				   .key = (uint64_t)(uintptr_t)piece->mine,
				   .direction = pass->direction};
	const uint32_t first = deep->nodes.n;
	int64_t number;
	int r = 1;

	deep->graph = pass->flags & VMRPC_PASS_GRAPH;
	if (deep->graph && deep->nodes.n_seen) /* graphs of two arguments are two */
		memset(deep->nodes.seen, 0, deep->nodes.n_seen * sizeof *deep->nodes.seen);
	if (vmrpc__in_region(deep->session, piece->mine) && !(pass->flags & VMRPC_PASS_GIVES)) {
		number = vmrpc__node_add(&deep->nodes, &root, UINT64_MAX);
		if (number < 0)
			return (int)number;
		r = deep->graph ? vmrpc__node_remember(&deep->nodes, first) : 0;
		if (r == 0)
			r = follow(deep, first, false);
		forget_nodes(deep, first);
		if (r <= 0) {
			piece->shared = piece->mine;
			return r;
		}
	}
	root.shared = stage(deep, piece->mine, piece->size);
	if (!root.shared)
		return -ENOBUFS;
	root.word = vmrpc__to_word(deep->session, root.shared);
	number = vmrpc__node_add(&deep->nodes, &root, UINT64_MAX);
	if (number < 0)
		return (int)number;
	r = deep->graph ? vmrpc__node_remember(&deep->nodes, first) : 0;
	if (r == 0)
		r = follow(deep, first, true);
	piece->shared = root.shared;
	piece->root = first + 1;
	piece->n_nodes = deep->nodes.n - first;
	return r;
}

/* ---- and back -------------------------------------------------------------------------------------------------- */

struct back {
	struct vmrpc__deep *deep;
	const struct vmrpc__node *node;
	uint32_t child;
};

/* The original of what lies staged at address; NULL: there is none. */
static unsigned char *original_of(struct vmrpc__deep *deep, const unsigned char *address)
{
	const struct vmrpc__node *node = vmrpc__node_at(&deep->nodes, address, true);

	return node ? node->mine + (address - node->shared) : NULL;
}

static int visit_back(void *arg, const struct vmrpc_inner *inner, uint64_t element, uint64_t at, bool counts)
{
	struct back *back = arg;
	const struct vmrpc__node *node = back->node;
	const struct vmrpc__node *child =
		node->first == UINT32_MAX ? NULL : &back->deep->nodes.nodes[node->first + back->child++];
	const uint64_t word = load(node->mine + at); /* once, from where nobody changes it */
	uint64_t value = 0;
	int r = 0;

	(void)element;
	if (!counts)
		return 0;
	if (child && (word == child->word || inner->pass->kind == VMRPC_PASS_SKIP)) {
		value = child->key;
	} else if (word) {
		const unsigned char *address =
			vmrpc__at(back->deep->session, vmrpc__word_offset(back->deep->session, word));

		value = word & VMRPC__COPIED ? 0 : (uint64_t)(uintptr_t)original_of(back->deep, address);
		if (!value)
			r = back->deep->adopt(back->deep->arg, inner->pass, word, &value);
	}
	memcpy(node->mine + at, &value, sizeof value);
	return r;
}

int vmrpc__deep_back(struct vmrpc__deep *deep, const struct vmrpc__piece *piece)
{
	int r = 0;

	for (uint32_t i = 0; i < piece->n_nodes && r == 0; i++) {
		const struct vmrpc__node *node = &deep->nodes.nodes[piece->root - 1 + i];
		struct back back = {.deep = deep, .node = node};

		if (!node->mine || node->again || node->mine == node->shared || !(node->direction & VMRPC_GOES_OUT))
			continue;
		memcpy(node->mine, node->shared, node->size);
		if (node->pass->n_inner)
			r = vmrpc__each_slot(node->pass, node->mine, node->size, visit_back, &back);
	}
	return r;
}

void vmrpc__deep_lost(struct vmrpc__deep *deep, bool ended, uint32_t channel, uint32_t generation)
{
	while (deep->chunks) {
		struct vmrpc__chunk *chunk = deep->chunks;

		deep->chunks = chunk->next;
		if (ended)
			vmrpc__arena_release(deep->session->arena, chunk->offset);
		else
			vmrpc__left_add(deep->session, channel, generation, chunk->offset);
		free(chunk);
	}
}

void vmrpc__deep_end(struct vmrpc__deep *deep)
{
	vmrpc__deep_lost(deep, true, 0, 0);
	vmrpc__nodes_free(&deep->nodes);
}
