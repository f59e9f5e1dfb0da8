/* The serving side: what came in a frame is checked, translated and, where the caller is not trusted, copied; after the
 * method has run, what it gave back is made ready to travel.
 *
 * Between sides that trust each other an address is translated and that is all: the caller has put everything where it
 * may be used in place. */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 16u
#define MANY	  12u /* fields; methods with more take memory from malloc */
#define NEARBY	  1024u

struct far_block { /* private memory beyond what lies nearby */
	struct far_block *next;
	_Alignas(ALIGNMENT) unsigned char bytes[];
};

struct served {
	struct vmrpc__channel *channel;
	struct vmrpc__session *session;
	const struct vmrpc_method *method;
	unsigned char *frame;
	struct vmrpc__piece *pieces;
	uint64_t *words; /* by field: as it came */
	uint64_t handle; /* the first that came in */
	struct vmrpc__view view;
	struct far_block *far;
	size_t nearby_used;
	_Alignas(ALIGNMENT) unsigned char nearby[NEARBY];
};

static bool is_string(const struct vmrpc_pass *pass)
{
	return pass->extent == VMRPC_EXTENT_STRING || pass->extent == VMRPC_EXTENT_STRING_MAX;
}

/* ---- private memory --------------------------------------------------------------------------------------------- */

static unsigned char *private_copy(struct served *served, const unsigned char *shared, uint64_t size)
{
	const size_t skew = (uintptr_t)shared % ALIGNMENT;
	const size_t need = (skew + size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	unsigned char *block;

	if (need <= NEARBY - served->nearby_used) {
		block = served->nearby + served->nearby_used;
		served->nearby_used += need;
	} else {
		struct far_block *far = malloc(sizeof *far + need);

		if (!far)
			return NULL;
		far->next = served->far;
		served->far = far;
		block = far->bytes;
	}
	memcpy(block + skew, shared, size);
	return block + skew;
}

static void free_private(struct served *served)
{
	while (served->far) {
		struct far_block *far = served->far;

		served->far = far->next;
		free(far);
	}
}

/* ---- in --------------------------------------------------------------------------------------------------------- */

static int handle_in(struct served *served, uint32_t field)
{
	const struct vmrpc_field *slot = &served->method->frame->fields[field];
	uint64_t word;
	void *object = NULL;
	int r;

	if (vmrpc__is_number(slot->pass)) {
		const int64_t number = vmrpc__number_get(served->frame, slot);

		if (number <= 0)
			return 0;
		word = slot->pass->size == 8 ? (uint64_t)number : vmrpc__handle_widen(served->session, number);
	} else {
		word = vmrpc__slot_get(served->frame, slot);
	}
	if (!word)
		return slot->pass->flags & VMRPC_PASS_NONNULL ? -EINVAL : 0;
	r = vmrpc__handle_get(served->session, slot->pass->handle, word, &object);
	if (r < 0)
		return r;
	served->words[field] = word; /* from here on handles_done() gives it back */
	if (!served->handle)
		served->handle = word;
	if (slot->pass->flags & VMRPC_PASS_CLOSES) {
		r = vmrpc__handle_close(served->session, word);
		if (r < 0)
			return r;
	}
	if (vmrpc__is_number(slot->pass))
		vmrpc__number_set(served->frame, slot, (int64_t)(intptr_t)object);
	else
		vmrpc__slot_set(served->frame, slot, (uint64_t)(uintptr_t)object);
	return 0;
}

static void handles_done(struct served *served, bool ran)
{
	const struct vmrpc_method *method = served->method;

	for (uint32_t i = 0; i < method->n_passes; i++) {
		const uint32_t field = method->passes[i];
		const struct vmrpc_pass *pass = method->frame->fields[field].pass;
		int64_t closed = ran && pass->flags & VMRPC_PASS_CLOSES;

		if (pass->kind != VMRPC_PASS_HANDLE || field >= method->n_params || !served->words[field])
			continue;
		if (closed && pass->condition && vmrpc__evaluate(&served->view, pass->condition, &closed) < 0)
			closed = 0;
		vmrpc__handle_done(served->session, served->words[field], closed != 0);
	}
}

/* Elements that are handles become objects, in the private copy. */
static int elements_in(struct served *served, const struct vmrpc_pass *each, unsigned char *memory, uint64_t size)
{
	for (uint64_t i = 0; i + 8 <= size; i += 8) {
		uint64_t word;
		void *object = NULL;

		memcpy(&word, memory + i, sizeof word);
		if (word) {
			int r = vmrpc__handle_get(served->session, each->handle, word, &object);

			if (r < 0)
				return r;
			vmrpc__handle_done(served->session, word, false);
		}
		memcpy(memory + i, &object, sizeof object);
	}
	return 0;
}

/* A private copy, which nobody changes any more. */
static int take_private(struct served *served, const struct vmrpc_pass *pass, struct vmrpc__piece *piece)
{
	int64_t max = INT64_MAX;

	piece->mine = private_copy(served, piece->shared, piece->size);
	if (!piece->mine)
		return -ENOMEM;
	if (pass->each) {
		if (pass->direction & VMRPC_GOES_IN)
			return elements_in(served, pass->each, piece->mine, piece->size);
		memset(piece->mine, 0, piece->size);
		return 0;
	}
	if (!is_string(pass) || piece->size < pass->size)
		return 0;
	if (pass->extent == VMRPC_EXTENT_STRING_MAX && vmrpc__evaluate(&served->view, pass->before, &max) < 0)
		return -EINVAL;
	if (max > 0 && piece->size / pass->size < (uint64_t)max) /* the zero that ended it may have gone since */
		memset(piece->mine + piece->size - pass->size, 0, pass->size);
	return 0;
}

static int check_address(const struct served *served, const struct vmrpc_pass *pass, uint64_t word, uint64_t *ret_lent)
{
	const uint64_t offset = vmrpc__word_offset(served->session, word);

	*ret_lent = vmrpc__lent(served->session, offset);
	if (*ret_lent == 0 && offset > 0) /* nothing may lie right behind the last byte */
		return vmrpc__lent(served->session, offset - 1) ? 0 : -EFAULT;
	if (*ret_lent == 0 || (pass->align > 1 && word % pass->align))
		return -EFAULT;
	return 0;
}

static int data_in(struct served *served, uint32_t field)
{
	const struct vmrpc_field *slot = &served->method->frame->fields[field];
	const struct vmrpc_pass *pass = slot->pass;
	struct vmrpc__session *session = served->session;
	struct vmrpc__piece *piece = &served->pieces[field];
	uint64_t word = vmrpc__slot_get(served->frame, slot), lent;
	const bool by_address = pass->extent == VMRPC_EXTENT_END || pass->extent == VMRPC_EXTENT_RANGE_TO;
	const unsigned char *address;
	int r;

	if (!word)
		return pass->flags & VMRPC_PASS_NONNULL ? -EINVAL : 0;
	if (word & VMRPC__STAGED) {
		if (!(served->method->flags & VMRPC_METHOD_ASYNC))
			return -EFAULT;
		word &= ~VMRPC__STAGED;
		served->words[field] = word;
	}
	address = session->region.base + vmrpc__word_offset(session, word);
	piece->shared = piece->mine = (unsigned char *)(uintptr_t)address;
	piece->size = UINT64_MAX >> 1;
	if (!session->trust || pass->each || pass->flags & VMRPC_PASS_COPY) {
		/* Of a range the address itself may lie anywhere; what counts are the bytes in it. */
		if (pass->extent == VMRPC_EXTENT_RANGE || pass->extent == VMRPC_EXTENT_RANGE_TO)
			lent = UINT64_MAX >> 1;
		else if ((r = check_address(served, pass, word, &lent)) < 0)
			return r;
		r = vmrpc__measure(&served->view, pass, by_address ? (const unsigned char *)(uintptr_t)word : address,
				   lent, &piece->from, &piece->size);
		if (r < 0)
			return r;
		piece->shared += piece->from;
		piece->mine = piece->shared;
		if (lent == UINT64_MAX >> 1 &&
		    ((r = check_address(served, pass, word + piece->from, &lent)) < 0 || piece->size > lent))
			return -EFAULT;
		if (pass->flags & VMRPC_PASS_SNAPSHOT || pass->each)
			r = take_private(served, pass, piece);
		if (r < 0)
			return r;
	}
	vmrpc__slot_set(served->frame, slot, (uint64_t)(uintptr_t)(piece->mine - piece->from));
	return 0;
}

static int into_in(struct served *served, uint32_t field)
{
	const struct vmrpc_field *slot = &served->method->frame->fields[field];
	const struct vmrpc__piece *piece = &served->pieces[slot->pass->into];
	const uint64_t word = vmrpc__slot_get(served->frame, slot);
	uint64_t distance;

	if (!word)
		return slot->pass->flags & VMRPC_PASS_NONNULL ? -EINVAL : 0;
	if (!piece->mine)
		return -EFAULT;
	distance = word - vmrpc__to_word(served->session, piece->shared);
	if (distance > piece->size)
		return -EFAULT;
	vmrpc__slot_set(served->frame, slot, (uint64_t)(uintptr_t)(piece->mine + distance));
	return 0;
}

static int take_in(struct served *served)
{
	const struct vmrpc_method *method = served->method;
	int r = 0;

	for (uint32_t i = 0; i < method->n_passes && r == 0; i++) {
		const uint32_t field = method->passes[i];

		if (field >= method->n_params)
			continue;
		switch (method->frame->fields[field].pass->kind) {
		case VMRPC_PASS_HANDLE:
			r = handle_in(served, field);
			break;
		case VMRPC_PASS_INTO:
			r = into_in(served, field);
			break;
		default:
			r = data_in(served, field);
		}
	}
	return r;
}

/* ---- and back -----------------------------------------------------------------------------------------------------
 */

static uint64_t parent_of(const struct served *served, const struct vmrpc_pass *pass)
{
	return pass->parent ? served->words[pass->parent - 1] : 0;
}

static int handle_back(struct served *served, const struct vmrpc_pass *pass, void *object, uint64_t *ret_word)
{
	*ret_word = 0;
	return object ? vmrpc__handle_put(served->session, pass, object, parent_of(served, pass), ret_word) : 0;
}

/* A number as an object. */
static int number_back(struct served *served, const struct vmrpc_field *slot, uint64_t *ret_word)
{
	const int64_t object = vmrpc__number_get(served->frame, slot);
	int64_t narrow;
	int r;

	*ret_word = (uint64_t)object;
	if (object <= 0)
		return 0;
	r = vmrpc__handle_put(served->session, slot->pass, (void *)(intptr_t)object, parent_of(served, slot->pass),
			      ret_word);
	if (r < 0 || slot->pass->size == 8)
		return r;
	r = vmrpc__handle_narrow(*ret_word, &narrow);
	*ret_word = (uint64_t)narrow;
	return r;
}

static int elements_back(struct served *served, const struct vmrpc_pass *each, unsigned char *to,
			 const unsigned char *from, uint64_t size)
{
	for (uint64_t i = 0; i + 8 <= size; i += 8) {
		uint64_t word;
		void *object;
		int r;

		memcpy(&object, from + i, sizeof object);
		r = handle_back(served, each, object, &word);
		if (r < 0)
			return r;
		memcpy(to + i, &word, sizeof word);
	}
	return 0;
}

/* Private copies go back to where they came from. */
static int outs_back(struct served *served)
{
	const struct vmrpc_method *method = served->method;
	int64_t success = 1;
	int r = 0;

	if (method->success && vmrpc__evaluate(&served->view, method->success, &success) < 0)
		success = 0;
	for (uint32_t i = 0; i < method->n_passes && success && r == 0; i++) {
		const uint32_t field = method->passes[i];
		const struct vmrpc_pass *pass = method->frame->fields[field].pass;
		struct vmrpc__piece *piece = &served->pieces[field];
		uint64_t size;

		if (field >= method->n_params || piece->mine == piece->shared || !(pass->direction & VMRPC_GOES_OUT))
			continue;
		size = vmrpc__measure_after(&served->view, pass, piece->mine, piece->size);
		if (pass->each)
			r = elements_back(served, pass->each, piece->shared, piece->mine, size);
		else
			memcpy(piece->shared, piece->mine, size);
	}
	return r;
}

/* The private copy in which an address lies. */
static const struct vmrpc__piece *piece_at(const struct served *served, const unsigned char *address)
{
	const struct vmrpc_method *method = served->method;

	for (uint32_t i = 0; i < method->n_passes; i++) {
		const struct vmrpc__piece *piece = &served->pieces[method->passes[i]];

		if (method->passes[i] < method->n_params && piece->mine != piece->shared &&
		    (uintptr_t)address - (uintptr_t)piece->mine <= piece->size)
			return piece;
	}
	return NULL;
}

/* The same for the same thing, and no address of ours. */
static uint64_t identity_of(const struct vmrpc__session *session, const void *address)
{
	uint64_t hash = (uintptr_t)address ^ session->secret;

	hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
	hash = (hash ^ hash >> 29 ^ session->secret) * UINT64_C(0xc4ceb9fe1a85ec53);
	return hash ^ hash >> 32;
}

/* A result in memory of our own goes to where the caller can read it: for good, or until its next call. */
static int send_copy(struct served *served, const struct vmrpc_pass *pass, const unsigned char *address,
		     uint64_t *ret_word)
{
	struct vmrpc__session *session = served->session;
	struct vmrpc__channel *channel = served->channel;
	struct vmrpc__copied copied = {0};
	const size_t room = VMRPC__SPILL_SIZE - channel->spill_used;
	unsigned char *at;
	uint64_t from;
	int r = vmrpc__measure(&served->view, pass, address, UINT64_MAX >> 1, &from, &copied.size);

	if (r < 0)
		return r;
	if (pass->lifetime == VMRPC_LIVES_UNTIL_VMRPC_FREE) {
		at = vmrpc__arena_malloc(session->arena, copied.size ? copied.size : 1);
		if (!at)
			return -ENOMEM;
		memcpy(at, address, copied.size);
		*ret_word = vmrpc__to_word(session, at);
		return 0;
	}
	copied.identity = identity_of(session, address);
	if (sizeof copied <= room && copied.size <= room - sizeof copied)
		at = channel->spill + channel->spill_used; /* nothing else comes there before the next message */
	else
		at = vmrpc__arena_malloc(session->arena, sizeof copied + copied.size);
	if (!at)
		return -ENOMEM;
	memcpy(at, &copied, sizeof copied);
	memcpy(at + sizeof copied, address, copied.size);
	*ret_word = VMRPC__COPIED | (uint64_t)(at - session->region.base);
	return 0;
}

static int result_back(struct served *served, const struct vmrpc_pass *pass, unsigned char *address, uint64_t *ret_word)
{
	const struct vmrpc__piece *piece;
	int r;

	*ret_word = 0;
	if (!address)
		return 0;
	if (vmrpc__in_region(served->session, address)) {
		*ret_word = vmrpc__to_word(served->session, address);
		return 0;
	}
	piece = piece_at(served, address);
	if (piece) {
		*ret_word = vmrpc__to_word(served->session, piece->shared + (address - piece->mine));
		return 0;
	}
	if (pass->kind != VMRPC_PASS_DATA) /* INTO, SHARED: it has to */
		return -EFAULT;
	r = send_copy(served, pass, address, ret_word);
	if (pass->release)
		pass->release(address);
	return r;
}

static int give_back(struct served *served)
{
	const struct vmrpc_method *method = served->method;
	int r = 0;

	if (!(method->flags & VMRPC_METHOD_ASYNC))
		r = outs_back(served);
	for (uint32_t i = 0; i < method->n_passes && r == 0; i++) {
		const struct vmrpc_field *slot = &method->frame->fields[method->passes[i]];
		uint64_t word = 0;

		if (method->passes[i] < method->n_params)
			continue;
		if (vmrpc__is_number(slot->pass))
			r = number_back(served, slot, &word);
		else if (slot->pass->kind == VMRPC_PASS_HANDLE)
			r = handle_back(served, slot->pass, (void *)(uintptr_t)vmrpc__slot_get(served->frame, slot),
					&word);
		else
			r = result_back(served, slot->pass,
					(unsigned char *)(uintptr_t)vmrpc__slot_get(served->frame, slot), &word);
		/* Not before: expressions that speak of the result read its slot. */
		served->words[method->passes[i]] = word;
	}
	return r;
}

static void free_staged(struct served *served)
{
	const struct vmrpc_method *method = served->method;

	for (uint32_t i = 0; i < method->n_passes; i++) {
		const uint32_t field = method->passes[i];
		const struct vmrpc_pass *pass = method->frame->fields[field].pass;

		if (field >= method->n_params || pass->kind == VMRPC_PASS_HANDLE || !served->words[field])
			continue;
		vmrpc_free((void *)((uintptr_t)(served->session->region.base +
						vmrpc__word_offset(served->session, served->words[field])) &
				    ~(uintptr_t)(ALIGNMENT - 1)));
	}
}

static void set_result(struct served *served, uint32_t field)
{
	const struct vmrpc_field *slot = &served->method->frame->fields[field];

	if (vmrpc__is_number(slot->pass))
		vmrpc__number_set(served->frame, slot, (int64_t)served->words[field]);
	else
		vmrpc__slot_set(served->frame, slot, served->words[field]);
}

int vmrpc__pass_serve(struct vmrpc__channel *channel, const struct vmrpc_method *method, void *frame,
		      int (*run)(void *arg), void *arg)
{
	struct vmrpc__piece few[MANY];
	uint64_t few_words[MANY];
	const uint32_t n = method->frame->n_fields;
	struct served served;
	int r;

	/* nearby need not be zeroed */
	served.channel = channel;
	served.session = channel->session;
	served.method = method;
	served.frame = frame;
	served.pieces = n <= MANY ? few : malloc(n * sizeof few[0]);
	served.words = n <= MANY ? few_words : malloc(n * sizeof few_words[0]);
	served.handle = 0;
	served.view = (struct vmrpc__view){frame, served.pieces, method->frame};
	served.far = NULL;
	served.nearby_used = 0;
	if (!served.pieces || !served.words) {
		r = -ENOMEM;
		goto out;
	}
	memset(served.pieces, 0, n * sizeof few[0]);
	memset(served.words, 0, n * sizeof few_words[0]);
	r = take_in(&served);
	if (r == 0) {
		r = run(arg);
		if (r == 0)
			r = give_back(&served);
		handles_done(&served, true);
	} else {
		handles_done(&served, false);
	}
	for (uint32_t i = 0; i < method->n_passes && r == 0; i++)
		if (method->passes[i] >= method->n_params)
			set_result(&served, method->passes[i]);
	if (method->flags & VMRPC_METHOD_ASYNC)
		free_staged(&served);
	free_private(&served);
out:
	if (served.pieces != few)
		free(served.pieces);
	if (served.words != few_words)
		free(served.words);
	return r;
}
