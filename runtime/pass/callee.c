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
	struct held *held;
	struct far_block *far;
	size_t nearby_used;
	_Alignas(ALIGNMENT) unsigned char nearby[NEARBY];
};

static bool is_string(const struct vmrpc_pass *pass)
{
	return pass->extent == VMRPC_EXTENT_STRING || pass->extent == VMRPC_EXTENT_STRING_MAX;
}

/* ---- private memory --------------------------------------------------------------------------------------------- */

static void *take_memory(struct served *served, uint64_t size)
{
	const size_t need = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	struct far_block *far;

	if (need <= NEARBY - served->nearby_used) {
		served->nearby_used += need;
		return served->nearby + served->nearby_used - need;
	}
	far = malloc(sizeof *far + need);
	if (!far)
		return NULL;
	far->next = served->far;
	served->far = far;
	return far->bytes;
}

static unsigned char *private_copy(struct served *served, const unsigned char *shared, uint64_t size)
{
	const size_t skew = (uintptr_t)shared % ALIGNMENT;
	unsigned char *block = take_memory(served, skew + size);

	if (!block)
		return NULL;
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
	if (slot->pass->flags & VMRPC_PASS_CLOSES) {
		r = vmrpc__handle_close(served->session, word);
		if (r < 0) {
			vmrpc__handle_done(served->session, word);
			return r;
		}
	}
	served->words[field] = word; /* from here on handles_done() gives it back */
	if (vmrpc__is_number(slot->pass))
		vmrpc__number_set(served->frame, slot, (int64_t)(intptr_t)object);
	else
		vmrpc__slot_set(served->frame, slot, (uint64_t)(uintptr_t)object);
	return 0;
}

/* Before results get their numbers: what was closed is forgotten, because a new object may lie where it lay. */
static void handles_closed(struct served *served, bool ran)
{
	const struct vmrpc_method *method = served->method;

	for (uint32_t i = 0; i < method->n_passes; i++) {
		const uint32_t field = method->passes[i];
		const struct vmrpc_pass *pass = method->frame->fields[field].pass;
		int64_t closed = ran;

		if (pass->kind != VMRPC_PASS_HANDLE || field >= method->n_params || !served->words[field] ||
		    !(pass->flags & VMRPC_PASS_CLOSES))
			continue;
		if (closed && pass->condition && vmrpc__evaluate(&served->view, pass->condition, &closed) < 0)
			closed = 0;
		vmrpc__handle_closed(served->session, served->words[field], closed != 0);
	}
}

/* After they got them: until then nobody may close what they live with. */
static void handles_done(struct served *served)
{
	const struct vmrpc_method *method = served->method;

	for (uint32_t i = 0; i < method->n_passes; i++) {
		const uint32_t field = method->passes[i];

		if (method->frame->fields[field].pass->kind == VMRPC_PASS_HANDLE && field < method->n_params &&
		    served->words[field])
			vmrpc__handle_done(served->session, served->words[field]);
	}
	for (const struct held *held = served->held; held; held = held->next)
		for (uint64_t i = 0; i < held->n; i++)
			vmrpc__handle_done(served->session, held->words[i]);
}

/* Elements that are handles become objects, in the private copy. */
static int elements_in(struct served *served, const struct vmrpc_pass *each, unsigned char *memory, uint64_t size)
{
	struct held *held = take_memory(served, sizeof *held + size);

	if (!held)
		return -ENOMEM;
	held->n = 0;
	held->next = served->held;
	served->held = held;
	for (uint64_t i = 0; i + 8 <= size; i += 8) {
		uint64_t word;
		void *object = NULL;

		memcpy(&word, memory + i, sizeof word);
		if (word) {
			int r = vmrpc__handle_get(served->session, each->handle, word, &object);

			if (r < 0)
				return r;
			held->words[held->n++] = word;
		} else if (each->flags & VMRPC_PASS_NONNULL) {
			return -EINVAL;
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

static int check_offset(const struct served *served, const struct vmrpc_pass *pass, uint64_t offset, uint64_t *ret_lent)
{
	*ret_lent = vmrpc__lent(served->session, offset);
	if (*ret_lent == 0 && offset > 0) /* nothing may lie right behind the last byte */
		return vmrpc__lent(served->session, offset - 1) ? 0 : -EFAULT;
	/* The word may be aligned where the offset is not: the client says where it sees the region. */
	if (*ret_lent == 0 || (pass->align > 1 && offset % pass->align))
		return -EFAULT;
	return 0;
}

/* Looks at what a client that is not believed says, or what is changed on its way: where it lies, and how much. */
static int check_data(struct served *served, const struct vmrpc_pass *pass, uint64_t word, struct vmrpc__piece *piece)
{
	const uint64_t offset = vmrpc__word_offset(served->session, word);
	const bool is_range = pass->extent == VMRPC_EXTENT_RANGE || pass->extent == VMRPC_EXTENT_RANGE_TO;
	const bool by_address = pass->extent == VMRPC_EXTENT_END || pass->extent == VMRPC_EXTENT_RANGE_TO;
	uint64_t lent = UINT64_MAX >> 1;
	int r = 0;

	/* Of a range the address itself may lie anywhere; what counts are the bytes in it. */
	if (!is_range)
		r = check_offset(served, pass, offset, &lent);
	if (r == 0)
		r = vmrpc__measure(&served->view, pass,
				   by_address ? (const unsigned char *)(uintptr_t)word
					      : vmrpc__at(served->session, offset),
				   lent, &piece->from, &piece->size);
	if (r == 0 && is_range)
		r = check_offset(served, pass, offset + piece->from, &lent);
	if (r < 0)
		return r;
	piece->shared = piece->mine = vmrpc__at(served->session, offset + piece->from);
	return piece->size > lent ? -EFAULT : 0;
}

static int data_in(struct served *served, uint32_t field)
{
	const struct vmrpc_field *slot = &served->method->frame->fields[field];
	const struct vmrpc_pass *pass = slot->pass;
	struct vmrpc__session *session = served->session;
	struct vmrpc__piece piece = {.size = UINT64_MAX >> 1};
	uint64_t word = vmrpc__slot_get(served->frame, slot);
	bool staged = false;
	int r = 0;

	if (!word)
		return pass->flags & VMRPC_PASS_NONNULL ? -EINVAL : 0;
	if (served->method->flags & VMRPC_METHOD_ASYNC) {
		staged = word & VMRPC__STAGED;
		word &= ~VMRPC__STAGED;
	}
	piece.shared = piece.mine = vmrpc__at(session, vmrpc__word_offset(session, word));
	if (!session->trust || pass->each || pass->flags & VMRPC_PASS_COPY || staged) {
		r = check_data(served, pass, word, &piece);
		if (r < 0)
			return r;
		served->words[field] = staged; /* from here on free_staged() frees it */
		served->pieces[field] = piece;
		if (pass->flags & (VMRPC_PASS_SNAPSHOT | VMRPC_PASS_COPY) || pass->each)
			r = take_private(served, pass, &piece);
	}
	if (r < 0)
		return r;
	served->pieces[field] = piece;
	vmrpc__slot_set(served->frame, slot, (uint64_t)(uintptr_t)piece.mine - piece.from);
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
	vmrpc__slot_set(served->frame, slot, (uint64_t)(uintptr_t)piece->mine + distance);
	return 0;
}

static int field_in(struct served *served, uint32_t field)
{
	switch (served->method->frame->fields[field].pass->kind) {
	case VMRPC_PASS_HANDLE:
		return handle_in(served, field);
	case VMRPC_PASS_INTO:
		return into_in(served, field);
	default:
		return data_in(served, field);
	}
}

static int take_in(struct served *served)
{
	const struct vmrpc_method *method = served->method;
	int first = 0;

	for (uint32_t i = 0; i < method->n_passes; i++) {
		int r = method->passes[i] < method->n_params ? field_in(served, method->passes[i]) : 0;

		if (first == 0)
			first = r;
		if (first < 0 &&
		    !(method->flags & VMRPC_METHOD_ASYNC)) /* of which all that is staged has to be found */
			break;
	}
	return first;
}

/* ---- and back ------------------------------------------------------------------------------------------------ */

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

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
	v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

/* The same for the same thing, and no address of ours: SipHash-2-4, since a client sees many and knows how far apart
 * some of them lie. */
static uint64_t identity_of(const struct vmrpc__session *session, const void *address)
{
	const uint64_t blocks[] = {(uintptr_t)address, UINT64_C(8) << 56};
	uint64_t v[] = {UINT64_C(0x736f6d6570736575) ^ session->secret, UINT64_C(0x646f72616e646f6d),
			UINT64_C(0x6c7967656e657261) ^ session->secret, UINT64_C(0x7465646279746573)};

	for (unsigned i = 0; i < 2; i++) {
		v[3] ^= blocks[i];
		sip_round(v);
		sip_round(v);
		v[0] ^= blocks[i];
	}
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* A result in memory of our own goes to where the caller can read it: for good, or until its next call. */
static int send_copy(struct served *served, const struct vmrpc_pass *pass, const unsigned char *address,
		     uint64_t *ret_word)
{
	struct vmrpc__session *session = served->session;
	struct vmrpc__channel *channel = served->channel;
	struct vmrpc__copied copied = {0};
	const size_t used = (channel->spill_used + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	const size_t room = VMRPC__SPILL_SIZE - used;
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
	if (pass->lifetime == VMRPC_LIVES_FOR_EVER)
		copied.identity = identity_of(session, address);
	if (sizeof copied <= room && copied.size <= room - sizeof copied)
		at = channel->spill + used; /* nothing else comes there before the next message */
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
		vmrpc__arena_give_up(served->session->arena,
				     (size_t)(served->pieces[field].shared - served->session->region.base) &
					     ~(size_t)(ALIGNMENT - 1));
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
	served.view = (struct vmrpc__view){frame, served.pieces, method->frame};
	served.held = NULL;
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
		handles_closed(&served, true);
		if (r == 0)
			r = give_back(&served);
	} else {
		handles_closed(&served, false);
	}
	handles_done(&served);
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
