/* The serving side of data deeper than one pointer: structs that hold pointers are copied, since their pointers change
 * on this side; what holds none stays where it is, unless it has to be looked at twice.
 *
 * Where both sides trust each other and see the region at one address nothing comes here. */
#include "callee.h"

#include <string.h>

struct visitor {
	struct served *served;
	uint32_t number; /* of the node whose pointers are visited */
	bool graph, has_results;
	uint32_t child; /* on the way back */
};

static uint64_t load(const unsigned char *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof value);
	return value;
}

/* More than the region can hold, and it is a circle, or the same again and again. */
static uint64_t limit_of(const struct served *served)
{
	return 2 * atomic_load_explicit(&served->session->region.size, memory_order_relaxed);
}

static int take_child(struct visitor *visitor, const struct vmrpc_inner *inner, const unsigned char *element,
		      uint64_t word, struct vmrpc__node *child)
{
	struct served *served = visitor->served;
	const struct vmrpc_pass *pass = inner->pass;
	const struct vmrpc__view own = {element, NULL, inner->scope}, *view = inner->scope ? &own : &served->view;
	struct vmrpc__piece piece = {0};
	const uint32_t earlier = visitor->graph ? vmrpc__node_find(&served->nodes, word, pass) : UINT32_MAX;
	void *object;
	int r;

	if (pass->kind == VMRPC_PASS_HANDLE) {
		r = vmrpc__hold_handle(served, pass, word, &object);
		child->mine = object;
		child->again = true; /* there is nothing to follow */
		return r;
	}
	if (earlier != UINT32_MAX) {
		child->again = true;
		child->mine = served->nodes.nodes[earlier].mine;
		return 0;
	}
	if (served->session->trust && !pass->n_inner && !(pass->flags & VMRPC_PASS_COPY)) {
		child->mine = vmrpc__at(served->session, vmrpc__word_offset(served->session, word));
		child->shared = child->mine;
		return 0;
	}
	r = vmrpc__check_data(served, view, pass, word, &piece);
	if (r < 0)
		return r;
	if (pass->n_inner || (!served->session->trust && pass->flags & VMRPC_PASS_SNAPSHOT) ||
	    pass->flags & VMRPC_PASS_COPY) {
		piece.mine = vmrpc__private_copy(served, piece.shared, piece.size);
		r = piece.mine ? vmrpc__terminate(view, pass, piece.mine, piece.size) : -ENOMEM;
	}
	child->mine = piece.mine;
	child->shared = piece.shared;
	child->size = piece.size;
	return r;
}

static int visit_in(void *arg, const struct vmrpc_inner *inner, uint64_t element, uint64_t at, bool counts)
{
	struct visitor *visitor = arg;
	struct served *served = visitor->served;
	const struct vmrpc__node parent = served->nodes.nodes[visitor->number];
	const uint64_t word = counts ? load(parent.mine + at) : 0;
	struct vmrpc__node child = {.pass = inner->pass,
				    .direction = inner->pass->direction ? inner->pass->direction : parent.direction,
				    .word = word,
				    .key = word};
	int64_t number;
	int r = 0;

	if (inner->pass->kind == VMRPC_PASS_SKIP)
		child.word = 0;
	else if (word)
		r = take_child(visitor, inner, parent.mine + element, word, &child);
	else if (counts && inner->pass->flags & VMRPC_PASS_NONNULL)
		r = -EINVAL;
	if (r < 0)
		return r;
	if (counts)
		memcpy(parent.mine + at, &child.mine, sizeof child.mine);
	/* Of a leaf whose struct does not go back nobody will ask, unless it is a copy and a result may point there. */
	if (!inner->pass->n_inner && !(parent.direction & VMRPC_GOES_OUT) &&
	    (child.mine == child.shared || !visitor->has_results))
		return 0;
	number = vmrpc__node_add(&served->nodes, &child, limit_of(served));
	if (number < 0)
		return (int)number;
	if (visitor->graph && child.mine && !child.again)
		return vmrpc__node_remember(&served->nodes, (uint32_t)number);
	return 0;
}

static bool has_results(const struct vmrpc_method *method)
{
	for (uint32_t i = 0; i < method->n_passes; i++)
		if (method->passes[i] >= method->n_params)
			return true;
	return false;
}

int vmrpc__deep_take(struct served *served, const struct vmrpc_pass *pass, struct vmrpc__piece *piece)
{
	struct vmrpc__nodes *nodes = &served->nodes;
	const uint32_t first = nodes->n;
	struct visitor visitor = {
		.served = served, .graph = pass->flags & VMRPC_PASS_GRAPH, .has_results = has_results(served->method)};
	struct vmrpc__node root = {.pass = pass,
				   .shared = piece->shared,
				   .size = piece->size,
				   .key = vmrpc__to_word(served->session, piece->shared),
				   .direction = pass->direction};
	int64_t number;
	int r = 0;

	root.mine = vmrpc__private_copy(served, piece->shared, piece->size);
	if (!root.mine)
		return -ENOMEM;
	if (visitor.graph && nodes->n_seen) /* graphs of two arguments are two */
		memset(nodes->seen, 0, nodes->n_seen * sizeof *nodes->seen);
	number = vmrpc__node_add(nodes, &root, limit_of(served));
	if (number < 0)
		return (int)number;
	if (visitor.graph)
		r = vmrpc__node_remember(nodes, first);
	for (uint32_t i = first; i < nodes->n && r == 0; i++) {
		struct vmrpc__node *node = &nodes->nodes[i];

		node->first = UINT32_MAX;
		if (!node->mine || node->again || !node->pass->n_inner)
			continue;
		if (!(node->direction & VMRPC_GOES_IN)) {
			memset(node->mine, 0, node->size);
			continue;
		}
		node->first = nodes->n;
		visitor.number = i;
		r = vmrpc__each_slot(node->pass, node->mine, node->size, visit_in, &visitor);
	}
	piece->mine = root.mine;
	piece->root = first + 1;
	piece->n_nodes = nodes->n - first;
	return r;
}

/* ---- and back -------------------------------------------------------------------------------------------------- */

/* Pointers become words in the private copy: not even for a moment does the client see one of ours. */
static int visit_back(void *arg, const struct vmrpc_inner *inner, uint64_t element, uint64_t at, bool counts)
{
	struct visitor *visitor = arg;
	struct served *served = visitor->served;
	const struct vmrpc__node *node = &served->nodes.nodes[visitor->number], *other;
	const struct vmrpc__node *child =
		node->first == UINT32_MAX ? NULL : &served->nodes.nodes[node->first + visitor->child++];
	unsigned char *address;
	uint64_t word = 0;
	int r = 0;

	(void)element;
	if (!counts)
		return 0;
	memcpy(&address, node->mine + at, sizeof address);
	other = address && inner->pass->kind == VMRPC_PASS_DATA && !(child && address == child->mine)
			? vmrpc__node_at(&served->nodes, address, false)
			: NULL;
	if (child && (address == child->mine || inner->pass->kind == VMRPC_PASS_SKIP))
		word = child->word;
	else if (other)
		word = vmrpc__to_word(served->session, other->shared + (address - other->mine));
	else
		r = vmrpc__word_back(served, inner->pass, address, &word);
	memcpy(node->mine + at, &word, sizeof word);
	return r;
}

int vmrpc__deep_give(struct served *served, const struct vmrpc__piece *piece)
{
	int r = 0;

	/* From the leaves up, so that pointers of one are still ours while another is asked what they mean. */
	for (uint32_t i = piece->n_nodes; i > 0 && r == 0; i--) {
		struct visitor visitor = {.served = served, .number = piece->root - 1 + i - 1};
		const struct vmrpc__node *node = &served->nodes.nodes[visitor.number];

		if (!node->mine || node->again || node->mine == node->shared || !(node->direction & VMRPC_GOES_OUT))
			continue;
		if (node->pass->n_inner)
			r = vmrpc__each_slot(node->pass, node->mine, node->size, visit_back, &visitor);
		if (r == 0)
			memcpy(node->shared, node->mine, node->size);
	}
	return r;
}
