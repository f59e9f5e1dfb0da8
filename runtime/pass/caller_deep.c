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

/* Whatever is larger is a circle, or the same again and again. */
static uint64_t limit_of(const struct vmrpc__deep *deep)
{
	return 2 * atomic_load_explicit(&deep->session->region.size, memory_order_relaxed);
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
	number = vmrpc__node_add(&deep->nodes, &child, limit_of(deep));
	if (number < 0)
		return (int)number;
	if (deep->graph && child.mine && !child.again)
		return vmrpc__node_remember(&deep->nodes, (uint32_t)number);
	return 0;
}

/* ---- is all of it there already? ------------------------------------------------------------------------------- */

struct still { /* to be looked at */
	const struct vmrpc_pass *pass;
	const unsigned char *memory;
	uint64_t size;
};

struct look {
	struct vmrpc__deep *deep;
	uintptr_t base;
	uint64_t region; /* its size */
	uint64_t left;	 /* bytes until it must be a circle */
	struct still *stills;
	size_t n, capacity;
};

static int look_later(struct look *look, const struct vmrpc_inner *inner, const unsigned char *element, uint64_t value)
{
	struct still still = {.pass = inner->pass, .memory = (const unsigned char *)(uintptr_t)value};
	uint64_t from;
	int r = measure_child(look->deep, inner, element, still.memory, &from, &still.size);

	if (r < 0)
		return r;
	still.memory += from;
	if (still.size + 1 > look->left)
		return -EMSGSIZE;
	look->left -= still.size + 1;
	if (look->n == look->capacity) {
		const size_t capacity = look->capacity ? 2 * look->capacity : 64;
		struct still *more = realloc(look->stills, capacity * sizeof *more);

		if (!more)
			return -ENOMEM;
		look->stills = more;
		look->capacity = capacity;
	}
	look->stills[look->n++] = still;
	return 0;
}

/* 1: it has to be staged. */
static inline int look_at(struct look *look, const struct vmrpc_inner *inner, const unsigned char *element,
			  uint64_t offset)
{
	const struct vmrpc_pass *pass = inner->pass;
	const uint64_t value = load(element + offset);

	if (!value)
		return pass->flags & VMRPC_PASS_NONNULL ? -EINVAL : 0;
	if (pass->kind == VMRPC_PASS_HANDLE)
		return pass->handle->object_size ? 1 : value & VMRPC__HANDLE ? 0 : -EBADF;
	if (pass->kind == VMRPC_PASS_SKIP || value - look->base >= look->region)
		return 1;
	return pass->n_inner && pass->direction != VMRPC_GOES_OUT ? look_later(look, inner, element, value) : 0;
}

/* The pointers of one struct after the other, without nodes, since nothing has to be remembered. */
static int look_through(struct look *look, const struct still *still)
{
	const struct vmrpc_pass *pass = still->pass;
	const unsigned char *end = still->memory + still->size / pass->size * pass->size;
	int r = 0;

	for (const unsigned char *element = still->memory; element < end && r == 0; element += pass->size) {
		for (uint32_t i = 0; i < pass->n_inner && r == 0; i++) {
			const struct vmrpc_inner *inner = &pass->inner[i];
			const struct vmrpc__view view = {element, NULL, inner->scope};
			int64_t counts = 1;

			if (inner->condition && vmrpc__evaluate(&view, inner->condition, &counts) < 0)
				counts = 0;
			for (uint32_t k = 0; counts && k < inner->count && r == 0; k++)
				r = look_at(look, inner, element, inner->offset + k * 8ull);
		}
	}
	return r;
}

static int look_for_outsiders(struct vmrpc__deep *deep, const struct vmrpc_pass *pass, const struct vmrpc__piece *piece)
{
	const uint64_t region = atomic_load_explicit(&deep->session->region.size, memory_order_relaxed);
	struct look look = {
		.deep = deep, .base = (uintptr_t)deep->session->region.base, .region = region, .left = limit_of(deep)};
	struct still still = {pass, piece->mine, piece->size};
	int r = look_through(&look, &still);

	while (r == 0 && look.n) {
		still = look.stills[--look.n];
		r = look_through(&look, &still);
	}
	free(look.stills);
	return r;
}

/* ---- staging ------------------------------------------------------------------------------------------------- */

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

/* The same for a graph, whose nodes have to be remembered. */
static int look_round(struct vmrpc__deep *deep, const struct vmrpc__node *root)
{
	const uint32_t first = deep->nodes.n;
	int64_t number = vmrpc__node_add(&deep->nodes, root, limit_of(deep));
	int r = number < 0 ? (int)number : vmrpc__node_remember(&deep->nodes, first);

	if (r == 0)
		r = follow(deep, first, false);
	forget_nodes(deep, first);
	return r;
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
		if (!(pass->direction & VMRPC_GOES_IN))
			r = 0;
		else if (deep->graph)
			r = look_round(deep, &root);
		else
			r = look_for_outsiders(deep, pass, piece);
		if (r <= 0) {
			piece->shared = piece->mine;
			return r;
		}
	}
	root.shared = stage(deep, piece->mine, piece->size);
	if (!root.shared)
		return -ENOBUFS;
	root.word = vmrpc__to_word(deep->session, root.shared);
	number = vmrpc__node_add(&deep->nodes, &root, limit_of(deep));
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
