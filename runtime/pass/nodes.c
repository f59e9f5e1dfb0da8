/* Data deeper than one pointer: what both sides need to follow it. Nothing here recurses, so a list of a million nodes
 * needs no more stack than one of two. */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

#define NODE_COST 8u /* bytes that each counts for besides its own, so that empty ones end, too */

int64_t vmrpc__node_add(struct vmrpc__nodes *nodes, const struct vmrpc__node *node, uint64_t limit)
{
	if (nodes->n == nodes->capacity) {
		const uint32_t capacity = nodes->capacity ? 2 * nodes->capacity : 32;
		struct vmrpc__node *more = capacity > nodes->capacity && capacity < UINT32_MAX / 2
						   ? realloc(nodes->nodes, capacity * sizeof *more)
						   : NULL;

		if (!more)
			return -ENOMEM;
		nodes->nodes = more;
		nodes->capacity = capacity;
	}
	if (node->mine || node->shared)
		nodes->bytes += node->size + NODE_COST;
	if (nodes->bytes > limit)
		return -EMSGSIZE;
	nodes->nodes[nodes->n] = *node;
	return nodes->n++;
}

static uint32_t place_of(const struct vmrpc__nodes *nodes, uint64_t key)
{
	return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (nodes->n_seen - 1);
}

uint32_t vmrpc__node_find(const struct vmrpc__nodes *nodes, uint64_t key, const struct vmrpc_pass *pass)
{
	if (!nodes->n_seen)
		return UINT32_MAX;
	for (uint32_t i = place_of(nodes, key); nodes->seen[i]; i = (i + 1) & (nodes->n_seen - 1)) {
		const struct vmrpc__node *node = &nodes->nodes[nodes->seen[i] - 1];

		if (node->key == key && node->pass->inner == pass->inner && node->pass->size == pass->size)
			return nodes->seen[i] - 1;
	}
	return UINT32_MAX;
}

int vmrpc__node_remember(struct vmrpc__nodes *nodes, uint32_t number)
{
	uint32_t i;

	if (nodes->n >= nodes->n_seen / 2) {
		const uint32_t n = nodes->n_seen ? 2 * nodes->n_seen : 128, n_old = nodes->n_seen;
		uint32_t *old = nodes->seen;

		nodes->seen = calloc(n, sizeof *nodes->seen);
		if (!nodes->seen) {
			nodes->seen = old;
			return -ENOMEM;
		}
		nodes->n_seen = n;
		for (uint32_t k = 0; k < n_old; k++) {
			if (!old[k])
				continue;
			for (i = place_of(nodes, nodes->nodes[old[k] - 1].key); nodes->seen[i];)
				i = (i + 1) & (n - 1);
			nodes->seen[i] = old[k];
		}
		free(old);
	}
	for (i = place_of(nodes, nodes->nodes[number].key); nodes->seen[i];)
		i = (i + 1) & (nodes->n_seen - 1);
	nodes->seen[i] = number + 1;
	return 0;
}

int vmrpc__each_slot(const struct vmrpc_pass *pass, const unsigned char *memory, uint64_t size,
		     vmrpc__slot_visit *visit, void *arg)
{
	for (uint64_t element = 0; element + pass->size <= size; element += pass->size) {
		for (uint32_t i = 0; i < pass->n_inner; i++) {
			const struct vmrpc_inner *inner = &pass->inner[i];
			int64_t counts = 1;

			if (inner->condition) {
				const struct vmrpc__view view = {memory + element, NULL, inner->scope};

				if (vmrpc__evaluate(&view, inner->condition, &counts) < 0)
					counts = 0;
			}
			for (uint32_t k = 0; k < inner->count; k++) {
				int r = visit(arg, inner, element, element + inner->offset + k * 8ull, counts != 0);

				if (r)
					return r;
			}
		}
	}
	return 0;
}

static const unsigned char *copy_of(const struct vmrpc__node *node, bool shared)
{
	return shared ? node->shared : node->mine;
}

struct order {
	const struct vmrpc__node *nodes;
	bool shared;
};

static int compare(const void *a, const void *b, void *arg)
{
	const struct order *order = arg;
	const unsigned char *x = copy_of(&order->nodes[*(const uint32_t *)a], order->shared);
	const unsigned char *y = copy_of(&order->nodes[*(const uint32_t *)b], order->shared);

	return ((uintptr_t)x > (uintptr_t)y) - ((uintptr_t)x < (uintptr_t)y);
}

static bool sort(struct vmrpc__nodes *nodes, bool shared)
{
	struct order order = {nodes->nodes, shared};

	nodes->sorted = malloc((nodes->n + 1) * sizeof *nodes->sorted);
	if (!nodes->sorted)
		return false;
	for (uint32_t i = 0; i < nodes->n; i++) {
		const struct vmrpc__node *node = &nodes->nodes[i];

		if (node->mine && !node->again && node->mine != node->shared)
			nodes->sorted[nodes->n_sorted++] = i;
	}
	qsort_r(nodes->sorted, nodes->n_sorted, sizeof *nodes->sorted, compare, &order);
	return true;
}

const struct vmrpc__node *vmrpc__node_at(struct vmrpc__nodes *nodes, const unsigned char *address, bool shared)
{
	uint32_t low = 0, high;
	const struct vmrpc__node *node;

	if (!nodes->sorted && !sort(nodes, shared))
		return NULL;
	high = nodes->n_sorted;
	while (low < high) { /* the last that begins there or before */
		const uint32_t middle = low + (high - low) / 2;

		if ((uintptr_t)copy_of(&nodes->nodes[nodes->sorted[middle]], shared) <= (uintptr_t)address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	node = &nodes->nodes[nodes->sorted[low - 1]];
	return (uintptr_t)address - (uintptr_t)copy_of(node, shared) < (node->size ? node->size : 1) ? node : NULL;
}

void vmrpc__nodes_free(struct vmrpc__nodes *nodes)
{
	free(nodes->nodes);
	free(nodes->seen);
	free(nodes->sorted);
	*nodes = (struct vmrpc__nodes){0};
}
