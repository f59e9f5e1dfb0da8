/* The calling side: ordinary memory goes into the region and what came out comes back; handles, and results that are
 * pointers, become what the caller can use.
 *
 * Memory that lies in the region travels as it is. All else of one call is staged together: in the channel's spill
 * area, or, where that is too small, in one block of our arena. */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 16u  /* a copy keeps the caller's address modulo this */
#define OLD_BYTES 64u  /* outs up to this size carry the caller's old bytes */
#define MANY	  12u  /* fields; methods with more take memory from malloc */
#define LARGE	  512u /* frames; the same */

struct passing {
	struct vmrpc__channel *channel;
	struct vmrpc__session *session;
	const struct vmrpc_method *method;
	unsigned char *frame; /* the caller's */
	unsigned char *words; /* as it travels */
	struct vmrpc__piece *pieces;
	struct vmrpc__view view;
	unsigned char *stage; /* staged pieces lie from here on */
	size_t stage_size;
	bool in_spill;
	uint64_t handle; /* the first that went in */
};

static const char *name_of(const struct passing *passing, uint32_t field)
{
	return passing->method->frame->fields[field].name;
}

static int refuse(const struct passing *passing, uint32_t field, int error)
{
	const char *service = passing->session->service->name, *method = passing->method->name;
	const char *name = name_of(passing, field);

	switch (error) {
	case -EINVAL:
		return vmrpc__fail(EINVAL, "%s.%s: the length of '%s' is less than nothing", service, method, name);
	case -EMSGSIZE:
		return vmrpc__fail(EMSGSIZE, "%s.%s: '%s' is larger than memory can be", service, method, name);
	case -EOVERFLOW:
	case -EDOM:
		return vmrpc__fail(-error, "%s.%s: the length of '%s' can't be computed: %s", service, method, name,
				   strerror(-error));
	case -EFAULT:
		return vmrpc__fail(EFAULT,
				   "%s.%s: the length of '%s' is told by a pointer that is NULL, or by more than that "
				   "points to",
				   service, method, name);
	default:
		return vmrpc__fail(-error, "%s.%s: '%s': %s", service, method, name, strerror(-error));
	}
}

/* ---- there ------------------------------------------------------------------------------------------------- */

static size_t staged_size(const struct vmrpc__piece *piece)
{
	return ((uintptr_t)piece->mine % ALIGNMENT + piece->size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static uint64_t handle_word(struct vmrpc *conn, const struct vmrpc_handle_type *type, uint64_t value)
{
	return type->object_size ? vmrpc__object_word(conn, (const void *)(uintptr_t)value) : value;
}

static int handle_in(struct passing *passing, uint32_t field, const struct vmrpc_pass *pass)
{
	const struct vmrpc_field *slot = &passing->method->frame->fields[field];
	uint64_t value, word;

	if (vmrpc__is_number(pass)) { /* it travels as it is */
		if (!passing->handle && vmrpc__number_get(passing->frame, slot) > 0)
			passing->handle = (uint64_t)vmrpc__number_get(passing->frame, slot);
		return 0;
	}
	value = vmrpc__slot_get(passing->frame, slot);
	if (!value) {
		if (pass->flags & VMRPC_PASS_NONNULL)
			return vmrpc__fail(EINVAL, "%s.%s: '%s' is NULL", passing->session->service->name,
					   passing->method->name, slot->name);
		return 0;
	}
	word = handle_word(passing->session->conn, pass->handle, value);
	if (!(word & VMRPC__HANDLE))
		return vmrpc__fail(EBADF, "%s.%s: '%s' is no handle that came from there",
				   passing->session->service->name, passing->method->name, slot->name);
	vmrpc__slot_set(passing->words, slot, word);
	if (!passing->handle)
		passing->handle = word;
	return 0;
}

/* Finds out how large a piece is, and whether it has to be staged. */
static int measure(struct passing *passing, uint32_t field, const struct vmrpc_pass *pass)
{
	const struct vmrpc_field *slot = &passing->method->frame->fields[field];
	struct vmrpc__piece *piece = &passing->pieces[field];
	unsigned char *address = (unsigned char *)(uintptr_t)vmrpc__slot_get(passing->frame, slot);
	int r;

	if (!address) {
		if (pass->flags & VMRPC_PASS_NONNULL)
			return vmrpc__fail(EINVAL, "%s.%s: '%s' is NULL", passing->session->service->name,
					   passing->method->name, slot->name);
		return 0;
	}
	piece->mine = address; /* for strings */
	r = vmrpc__measure(&passing->view, pass, address, UINT64_MAX >> 1, &piece->from, &piece->size);
	if (r < 0)
		return refuse(passing, field, r);
	piece->mine = address + piece->from;
	if (vmrpc__in_region(passing->session, piece->mine)) {
		if (!pass->each) { /* else what travels has other words in it */
			piece->shared = piece->mine;
			return 0;
		}
	} else if (pass->kind == VMRPC_PASS_SHARED) {
		return vmrpc__fail(
			EFAULT,
			"%s.%s: '%s' travels as it is, so it has to lie in memory from vmrpc_malloc() or on an "
			"RPC stack",
			passing->session->service->name, passing->method->name, slot->name);
	}
	if (__builtin_add_overflow(passing->stage_size, staged_size(piece), &passing->stage_size))
		return refuse(passing, field, -EMSGSIZE);
	return 0;
}

/* Elements that are handles. */
static int handles_in(struct passing *passing, const struct vmrpc_pass *each, unsigned char *to,
		      const unsigned char *from, uint64_t size)
{
	for (uint64_t i = 0; i + 8 <= size; i += 8) {
		uint64_t value, word = 0;

		memcpy(&value, from + i, sizeof value);
		if (value) {
			word = handle_word(passing->session->conn, each->handle, value);
			if (!(word & VMRPC__HANDLE))
				return vmrpc__fail(EBADF, "%s.%s: an element is no handle that came from there",
						   passing->session->service->name, passing->method->name);
		} else if (each->flags & VMRPC_PASS_NONNULL) {
			return vmrpc__fail(EINVAL, "%s.%s: an element is NULL", passing->session->service->name,
					   passing->method->name);
		}
		memcpy(to + i, &word, sizeof word);
	}
	return 0;
}

static int put_on_stage(struct passing *passing, const struct vmrpc_pass *pass, struct vmrpc__piece *piece,
			unsigned char *at)
{
	piece->shared = at + (uintptr_t)piece->mine % ALIGNMENT;
	if (pass->kind == VMRPC_PASS_SCRATCH)
		return 0;
	if (pass->direction & VMRPC_GOES_IN) {
		if (pass->each)
			return handles_in(passing, pass->each, piece->shared, piece->mine, piece->size);
		memcpy(piece->shared, piece->mine, piece->size);
	} else if (piece->size <= OLD_BYTES && !pass->each) {
		memcpy(piece->shared, piece->mine, piece->size);
	} else {
		memset(piece->shared, 0, piece->size);
	}
	return 0;
}

static int take_stage(struct passing *passing)
{
	struct vmrpc__channel *channel = passing->channel;

	if (passing->stage_size <= VMRPC__SPILL_SIZE - channel->spill_used && passing->session->side == VMRPC__CLIENT) {
		passing->stage = channel->spill + channel->spill_used;
		passing->in_spill = true;
		channel->spill_used += passing->stage_size;
		return 0;
	}
	vmrpc__left_release(passing->session);
	passing->stage = vmrpc__arena_malloc(passing->session->arena, passing->stage_size);
	if (!passing->stage)
		return vmrpc__fail(
			ENOMEM,
			"%s.%s: the heap is too full for %zu bytes of arguments; connect with a larger heap=, "
			"or call vmrpc_heap_setup()",
			passing->session->service->name, passing->method->name, passing->stage_size);
	return 0;
}

static void leave_stage(struct passing *passing)
{
	if (!passing->stage)
		return;
	if (passing->in_spill)
		passing->channel->spill_used -= passing->stage_size;
	else
		vmrpc__arena_release(passing->session->arena, (size_t)(passing->stage - passing->session->region.base));
	passing->stage = NULL;
}

/* A pointer into what another parameter points to. */
static int into(struct passing *passing, uint32_t field, const struct vmrpc_pass *pass)
{
	const struct vmrpc_field *slot = &passing->method->frame->fields[field];
	const struct vmrpc__piece *piece = &passing->pieces[pass->into];
	const uint64_t value = vmrpc__slot_get(passing->frame, slot);
	const uint64_t distance = value - (uint64_t)(uintptr_t)piece->mine;

	if (!value)
		return 0;
	if (!piece->mine || distance > piece->size)
		return vmrpc__fail(EFAULT, "%s.%s: '%s' does not point into '%s'", passing->session->service->name,
				   passing->method->name, slot->name, name_of(passing, pass->into));
	vmrpc__slot_set(passing->words, slot, vmrpc__to_word(passing->session, piece->shared + distance));
	return 0;
}

static int prepare(struct passing *passing)
{
	const struct vmrpc_method *method = passing->method;
	size_t used = 0;
	int r = 0;

	for (uint32_t i = 0; i < method->n_passes && r == 0; i++) {
		const uint32_t field = method->passes[i];
		const struct vmrpc_pass *pass = method->frame->fields[field].pass;

		if (field >= method->n_params)
			continue;
		if (pass->kind == VMRPC_PASS_HANDLE)
			r = handle_in(passing, field, pass);
		else if (pass->kind != VMRPC_PASS_INTO)
			r = measure(passing, field, pass);
	}
	if (r == 0 && passing->stage_size)
		r = take_stage(passing);
	for (uint32_t i = 0; i < method->n_passes && r == 0; i++) {
		const uint32_t field = method->passes[i];
		const struct vmrpc_field *slot = &method->frame->fields[field];
		struct vmrpc__piece *piece = &passing->pieces[field];

		if (field >= method->n_params || slot->pass->kind == VMRPC_PASS_HANDLE)
			continue;
		if (slot->pass->kind == VMRPC_PASS_INTO) {
			r = into(passing, field, slot->pass);
			continue;
		}
		if (!piece->mine)
			continue;
		if (!piece->shared) {
			const size_t size = staged_size(piece);

			/* nothing is still somewhere */
			r = put_on_stage(passing, slot->pass, piece,
					 passing->stage ? passing->stage + used : passing->channel->spill);
			used += size;
		}
		vmrpc__slot_set(passing->words, slot, vmrpc__to_word(passing->session, piece->shared - piece->from));
	}
	return r;
}

/* ---- and back ------------------------------------------------------------------------------------------------ */

static int handle_back(struct passing *passing, const struct vmrpc_pass *pass, uint64_t word, uint64_t *ret_value)
{
	*ret_value = 0;
	if (!word)
		return 0;
	if (!(word & VMRPC__HANDLE) || word & VMRPC__COPIED)
		return vmrpc__fail(EPROTO, "%s.%s: the peer gave a handle that is none",
				   passing->session->service->name, passing->method->name);
	if (pass->handle->object_size) {
		void *object = vmrpc__object_of(passing->session->conn, pass->handle, word);

		if (!object)
			return vmrpc__fail(ENOMEM, "%s.%s: no memory for a handle", passing->session->service->name,
					   passing->method->name);
		word = (uint64_t)(uintptr_t)object;
	}
	*ret_value = word;
	return 0;
}

static int handles_back(struct passing *passing, const struct vmrpc_pass *each, unsigned char *to,
			const unsigned char *from, uint64_t size)
{
	for (uint64_t i = 0; i + 8 <= size; i += 8) {
		uint64_t word, value;
		int r;

		memcpy(&word, from + i, sizeof word);
		r = handle_back(passing, each, word, &value);
		if (r < 0)
			return r;
		memcpy(to + i, &value, sizeof value);
	}
	return 0;
}

/* Where the caller has what lies in the region at address, if it went there with this call. */
static const struct vmrpc__piece *piece_at(const struct passing *passing, const unsigned char *address)
{
	const struct vmrpc_method *method = passing->method;

	for (uint32_t i = 0; i < method->n_passes; i++) {
		const uint32_t field = method->passes[i];
		const struct vmrpc__piece *piece = &passing->pieces[field];

		if (field < method->n_params && piece->shared && piece->mine != piece->shared &&
		    (uintptr_t)address - (uintptr_t)piece->shared <= piece->size)
			return piece;
	}
	return NULL;
}

static int bad_result(const struct passing *passing)
{
	return vmrpc__fail(EPROTO, "%s.%s: the peer gave a result that does not lie in memory it may use",
			   passing->session->service->name, passing->method->name);
}

static bool is_string(const struct vmrpc_pass *pass)
{
	return pass->extent == VMRPC_EXTENT_STRING || pass->extent == VMRPC_EXTENT_STRING_MAX ||
	       pass->extent == VMRPC_EXTENT_STRING_OUT;
}

/* The zero at the end of a string, which the peer may have taken away while it was copied. */
static void terminate(const struct vmrpc_pass *pass, unsigned char *mine, uint64_t size)
{
	if (is_string(pass) && size >= pass->size)
		memset(mine + size - pass->size, 0, pass->size);
}

/* The same for one that may fill all its room, and have none. */
static bool fills_room(const struct passing *passing, const struct vmrpc_pass *pass, uint64_t size)
{
	int64_t max;

	return pass->extent == VMRPC_EXTENT_STRING_MAX && vmrpc__evaluate(&passing->view, pass->before, &max) == 0 &&
	       max >= 0 && size / pass->size >= (uint64_t)max;
}

/* A result's bytes become the caller's, for as long as was promised. */
static int adopt(struct passing *passing, const struct vmrpc_pass *pass, const unsigned char *bytes, uint64_t size,
		 uint64_t identity, uint64_t *ret_value)
{
	unsigned char *mine;

	if (pass->lifetime == VMRPC_LIVES_UNTIL_NEXT_CALL)
		mine = vmrpc__keep_borrowed(passing->method, passing->handle, bytes, size);
	else if (pass->lifetime == VMRPC_LIVES_FOR_EVER)
		mine = vmrpc__keep_for_ever(passing->session, identity, bytes, size);
	else if ((mine = malloc(size ? size : 1)))
		memcpy(mine, bytes, size);
	if (!mine)
		return vmrpc__fail(ENOMEM, "%s.%s: no memory for the result, of %llu bytes",
				   passing->session->service->name, passing->method->name, (unsigned long long)size);
	if (!fills_room(passing, pass, size))
		terminate(pass, mine, size);
	*ret_value = (uint64_t)(uintptr_t)mine;
	return 0;
}

/* Whole elements, of which at least the zero; or no more than there may be. */
static bool copied_string_is_good(const struct passing *passing, const struct vmrpc_pass *pass, uint64_t size)
{
	int64_t max;

	if (size % pass->size)
		return false;
	if (pass->extent != VMRPC_EXTENT_STRING_MAX)
		return size >= pass->size;
	return vmrpc__evaluate(&passing->view, pass->before, &max) == 0 && max >= 0 &&
	       size / pass->size <= (uint64_t)max && (size > 0 || max == 0);
}

static int copied_result(struct passing *passing, const struct vmrpc_pass *pass, uint64_t offset, uint64_t *ret_value)
{
	struct vmrpc__session *session = passing->session;
	const uint64_t lent = vmrpc__lent(session, offset);
	const struct vmrpc__copied *copied = (const void *)vmrpc__at(session, offset);
	uint64_t size, from, expected;
	const unsigned char *bytes;
	int r;

	if (lent < sizeof *copied || offset % ALIGNMENT || pass->kind != VMRPC_PASS_DATA ||
	    pass->lifetime == VMRPC_LIVES_UNTIL_VMRPC_FREE)
		return bad_result(passing);
	size = __atomic_load_n(&copied->size, __ATOMIC_RELAXED);
	if (size > lent - sizeof *copied)
		return bad_result(passing);
	bytes = (const unsigned char *)(copied + 1);
	if (is_string(pass)) {
		/* Its own bytes are not looked at: they may change. */
		r = copied_string_is_good(passing, pass, size) ? 0 : -EPROTO;
		expected = size;
	} else {
		r = vmrpc__measure(&passing->view, pass, bytes, UINT64_MAX >> 1, &from, &expected);
	}
	if (r < 0 || expected != size)
		return bad_result(passing);
	r = adopt(passing, pass, bytes, size, __atomic_load_n(&copied->identity, __ATOMIC_RELAXED), ret_value);
	if (offset >= session->layout.client_heap.offset)
		vmrpc__arena_give_up(session->arena, offset);
	return r;
}

/* Neither an argument nor a copy. */
static int result_in_region(struct passing *passing, const struct vmrpc_pass *pass, uint64_t offset,
			    uint64_t *ret_value)
{
	struct vmrpc__session *session = passing->session;
	const uint64_t lent = vmrpc__lent(session, offset);
	unsigned char *address = vmrpc__at(session, offset);
	uint64_t from, size = 0;
	int r;

	if (!lent || (!session->trust && pass->align > 1 && offset % pass->align))
		return bad_result(passing);
	if (!session->trust || pass->lifetime == VMRPC_LIVES_UNTIL_FREE) {
		r = vmrpc__measure(&passing->view, pass, address, lent, &from, &size);
		if (r < 0)
			return bad_result(passing);
	}
	if (pass->lifetime == VMRPC_LIVES_UNTIL_FREE) {
		r = adopt(passing, pass, address, size, 0, ret_value);
		vmrpc__arena_give_up(session->arena, offset);
		return r;
	}
	/* What the peer could change at any time, and need not stay. */
	if (!session->trust && pass->lifetime != VMRPC_LIVES_UNTIL_VMRPC_FREE && pass->kind == VMRPC_PASS_DATA)
		return adopt(passing, pass, address, size, offset, ret_value);
	*ret_value = (uint64_t)(uintptr_t)address;
	return 0;
}

/* Whether a result that points into an argument points to as much as it should, for the caller to keep. */
static bool is_good_result(const struct passing *passing, const struct vmrpc_pass *pass,
			   const struct vmrpc__piece *piece, const unsigned char *address)
{
	const uint64_t distance = (uintptr_t)address - (uintptr_t)piece->shared;
	uint64_t from, size;

	return pass->lifetime != VMRPC_LIVES_UNTIL_FREE && pass->lifetime != VMRPC_LIVES_UNTIL_VMRPC_FREE &&
	       vmrpc__measure(&passing->view, pass, piece->mine + distance, piece->size - distance, &from, &size) == 0;
}

static int result_back(struct passing *passing, const struct vmrpc_pass *pass, uint64_t word, uint64_t *ret_value)
{
	struct vmrpc__session *session = passing->session;
	const uint64_t offset = vmrpc__word_offset(session, word);
	const struct vmrpc__piece *piece;
	unsigned char *address;

	*ret_value = 0;
	if (!word)
		return 0;
	if (word & VMRPC__COPIED)
		return copied_result(passing, pass, word & ~VMRPC__COPIED, ret_value);
	address = vmrpc__at(session, offset);
	piece = piece_at(passing, address);
	if (!session->trust && pass->kind == VMRPC_PASS_INTO) {
		piece = &passing->pieces[pass->into];
		if (!piece->mine || (uintptr_t)address - (uintptr_t)piece->shared > piece->size)
			return bad_result(passing);
	}
	if (!piece)
		return result_in_region(passing, pass, offset, ret_value);
	if (!session->trust && pass->kind != VMRPC_PASS_INTO && !is_good_result(passing, pass, piece, address))
		return bad_result(passing);
	*ret_value = (uint64_t)(uintptr_t)(piece->mine + (address - piece->shared));
	return 0;
}

/* Copies an out to where the caller wants it. */
static int out_back(struct passing *passing, uint32_t field)
{
	const struct vmrpc_pass *pass = passing->method->frame->fields[field].pass;
	struct vmrpc__piece *piece = &passing->pieces[field];
	uint64_t size;

	if (!piece->mine || piece->mine == piece->shared || pass->kind == VMRPC_PASS_SCRATCH ||
	    !(pass->direction & VMRPC_GOES_OUT))
		return 0;
	size = vmrpc__measure_after(&passing->view, pass, piece->shared, piece->size);
	if (pass->each)
		return handles_back(passing, pass->each, piece->mine, piece->shared, size);
	memcpy(piece->mine, piece->shared, size);
	if (!passing->session->trust && !fills_room(passing, pass, size))
		terminate(pass, piece->mine, size);
	return 0;
}

static int pointer_back(struct passing *passing, uint32_t field)
{
	const struct vmrpc_field *slot = &passing->method->frame->fields[field];
	uint64_t word, value = 0;
	int r;

	if (vmrpc__is_number(slot->pass))
		return 0;
	word = vmrpc__slot_get(passing->words, slot);
	r = slot->pass->kind == VMRPC_PASS_HANDLE ? handle_back(passing, slot->pass, word, &value)
						  : result_back(passing, slot->pass, word, &value);
	vmrpc__slot_set(passing->frame, slot, value);
	return r;
}

/* Handles that the call has closed are gone. */
static void forget_closed(struct passing *passing)
{
	const struct vmrpc_method *method = passing->method;

	for (uint32_t i = 0; i < method->n_passes; i++) {
		const struct vmrpc_field *slot = &method->frame->fields[method->passes[i]];
		int64_t closes = 1;

		if (method->passes[i] >= method->n_params || slot->pass->kind != VMRPC_PASS_HANDLE ||
		    !(slot->pass->flags & VMRPC_PASS_CLOSES) || !slot->pass->handle->object_size)
			continue;
		if (slot->pass->condition && vmrpc__evaluate(&passing->view, slot->pass->condition, &closes) < 0)
			closes = 0;
		if (closes)
			vmrpc__object_forget(passing->session->conn, vmrpc__slot_get(passing->words, slot));
	}
}

/* In the order of the tables: first what tells the lengths of others. */
static int finish(struct passing *passing)
{
	const struct vmrpc_method *method = passing->method;
	int64_t success = 1;
	int r = 0;

	memcpy(passing->frame + method->result_offset, passing->words + method->result_offset,
	       method->frame_size - method->result_offset);
	if (method->success && vmrpc__evaluate(&passing->view, method->success, &success) < 0)
		success = 0;
	for (uint32_t i = 0; i < method->n_passes && r == 0; i++) {
		const uint32_t field = method->passes[i];

		if (field >= method->n_params)
			r = pointer_back(passing, field);
		else if (success)
			r = out_back(passing, field);
	}
	forget_closed(passing);
	return r;
}

/* ---- calls ------------------------------------------------------------------------------------------------- */

static int call_out(struct passing *passing, uint32_t number, int64_t timeout_ms)
{
	struct vmrpc__session *session = passing->session;
	const uint32_t index = passing->channel->index, generation = passing->channel->generation;
	const bool has_block = passing->stage && !passing->in_spill;
	int r;

	if (has_block)
		vmrpc__session_ref(session);
	r = vmrpc__call(passing->channel, VMRPC__CALL, number, passing->method, passing->words, timeout_ms);
	if (r < 0 && vmrpc__self->lost) {
		/* The channel may be gone; while the session lives, the peer may still be using what is staged. */
		if (has_block && atomic_load_explicit(&session->ended, memory_order_relaxed))
			leave_stage(passing);
		else if (has_block)
			vmrpc__left_add(session, index, generation, (size_t)(passing->stage - session->region.base));
		passing->stage = NULL;
	}
	if (has_block)
		vmrpc__session_unref(session);
	return r;
}

int vmrpc__pass_call(struct vmrpc__channel *channel, uint32_t number, const struct vmrpc_method *method, void *frame,
		     int64_t timeout_ms)
{
	struct vmrpc__piece few[MANY];
	_Alignas(16) unsigned char small[LARGE];
	const uint32_t n = method->frame->n_fields;
	struct passing passing = {
		.channel = channel,
		.session = channel->session,
		.method = method,
		.frame = frame,
		.words = method->frame_size <= LARGE ? small : malloc(method->frame_size),
		.pieces = n <= MANY ? few : malloc(n * sizeof few[0]),
	};
	int r;

	if (!passing.words || !passing.pieces) {
		r = vmrpc__fail(ENOMEM, "no memory for a call");
		goto out;
	}
	passing.view = (struct vmrpc__view){frame, passing.pieces, method->frame};
	memset(passing.pieces, 0, n * sizeof few[0]);
	memcpy(passing.words, frame, method->frame_size);
	r = prepare(&passing);
	if (r < 0) {
		leave_stage(&passing);
		vmrpc__self->refused = true;
		goto out;
	}
	r = call_out(&passing, number, timeout_ms);
	if (r == 0) {
		r = finish(&passing);
		if (r < 0) {
			vmrpc__self->lost = false;
			vmrpc__self->refused = true;
		}
	}
	leave_stage(&passing);
out:
	if (passing.words != small)
		free(passing.words);
	if (passing.pieces != few)
		free(passing.pieces);
	return r;
}

/* What an asynchronous call takes along lies in blocks of their own, which the callee frees. */
static int stage_alone(struct passing *passing, uint32_t field, const struct vmrpc_pass *pass)
{
	const struct vmrpc_field *slot = &passing->method->frame->fields[field];
	struct vmrpc__piece *piece = &passing->pieces[field];
	unsigned char *block;
	int r;

	passing->stage_size = 0;
	r = measure(passing, field, pass);
	if (r < 0 || !piece->mine)
		return r;
	if (piece->shared) {
		vmrpc__slot_set(passing->words, slot, vmrpc__to_word(passing->session, piece->shared - piece->from));
		return 0;
	}
	block = vmrpc__arena_malloc(passing->session->arena, passing->stage_size ? passing->stage_size : 1);
	if (!block)
		return vmrpc__fail(
			ENOMEM, "%s.%s: the heap is too full for %zu bytes of arguments; connect with a larger heap=",
			passing->session->service->name, passing->method->name, passing->stage_size);
	r = put_on_stage(passing, pass, piece, block);
	vmrpc__slot_set(passing->words, slot,
			vmrpc__to_word(passing->session, piece->shared - piece->from) | VMRPC__STAGED);
	return r;
}

int vmrpc__pass_post(struct vmrpc__channel *channel, uint32_t number, const struct vmrpc_method *method, void *frame,
		     int64_t timeout_ms)
{
	struct vmrpc__piece pieces[VMRPC__CELL_WORDS * 8]; /* a frame that fits the ring has no more fields */
	uint64_t words[VMRPC__CELL_WORDS];
	struct passing passing = {
		.channel = channel,
		.session = channel->session,
		.method = method,
		.frame = frame,
		.words = (unsigned char *)words,
		.pieces = pieces,
		.view = {frame, pieces, method->frame},
	};
	int r = 0;

	memset(pieces, 0, method->frame->n_fields * sizeof pieces[0]);
	memcpy(words, frame, method->frame_size);
	for (uint32_t i = 0; i < method->n_passes && r == 0; i++) {
		const uint32_t field = method->passes[i];
		const struct vmrpc_pass *pass = method->frame->fields[field].pass;

		r = pass->kind == VMRPC_PASS_HANDLE ? handle_in(&passing, field, pass)
		    : pass->kind == VMRPC_PASS_INTO ? into(&passing, field, pass)
						    : stage_alone(&passing, field, pass);
	}
	if (r == 0) {
		r = vmrpc__post(channel, number, method, words, timeout_ms);
		if (r == 0)
			return 0;
	} else {
		vmrpc__self->refused = true;
	}
	for (uint32_t i = 0; i < method->n_params; i++)
		if (pieces[i].shared && pieces[i].shared != pieces[i].mine)
			vmrpc_free((void *)((uintptr_t)pieces[i].shared & ~(uintptr_t)(ALIGNMENT - 1)));
	return r;
}
