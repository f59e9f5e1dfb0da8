/* The pointer engine: what happens, by the tables of describe.h, to everything in a frame that is more than its bits.
 *
 * caller    the side that makes a call: copies ordinary memory into the region, and back what came out
 * callee    the side that serves it: checks every address and length itself, translates, takes private copies
 * piece     memory of one parameter: where this side has it, and where it lies in the region
 * word      a pointer as it travels: an address in the client's view of the region, a handle's number, or
 *           VMRPC__COPIED and the offset of a struct vmrpc__copied */
#ifndef VMRPC_PASS_H
#define VMRPC_PASS_H

#include "../internal.h"

/* ---- what travels ---------------------------------------------------------------------------------------- */

#define VMRPC__COPIED (UINT64_C(1) << 63) /* a result that the caller copies before its next call */
#define VMRPC__STAGED (UINT64_C(1) << 62) /* asynchronous: the callee frees the block when it is done */
#define VMRPC__HANDLE (UINT64_C(1) << 62) /* in every handle, so that nobody can follow it as an address */

struct vmrpc__copied {
	uint64_t size;
	uint64_t identity; /* the same for what is the same thing at the callee */
};

/* ---- evaluate.c ------------------------------------------------------------------------------------------ */

struct vmrpc__piece {
	unsigned char *mine;   /* where this side reads and writes it; NULL: none */
	unsigned char *shared; /* in the region, our own address */
	uint64_t size;	       /* bytes from mine on that count before the call; UINT64_MAX: not looked at */
	uint64_t from;	       /* of a range: the bytes before, which are not looked at */
};

struct vmrpc__view {			   /* what an expression sees */
	const unsigned char *base;	   /* frame */
	const struct vmrpc__piece *pieces; /* by number of the field; NULL: addresses are followed as they are */
	const struct vmrpc_type *type;
};

/* -EOVERFLOW, -EFAULT (a NULL, or more than what is there), -EDOM (divided by zero), -EINVAL (broken code). */
int vmrpc__evaluate(const struct vmrpc__view *view, const int64_t *code, int64_t *ret_value);

/* How much the pointer points to before the call: bytes to skip, and bytes that count, of which at most limit
 * are there. -EINVAL: less than nothing; -EMSGSIZE: more than there can be; -EFAULT: more than there is. */
int vmrpc__measure(const struct vmrpc__view *view, const struct vmrpc_pass *pass, const unsigned char *address,
		   uint64_t limit, uint64_t *ret_from, uint64_t *ret_size);
/* How many of the bytes before count after the call: none where the callee says nonsense. */
uint64_t vmrpc__measure_after(const struct vmrpc__view *view, const struct vmrpc_pass *pass,
			      const unsigned char *memory, uint64_t size);

static inline uint64_t vmrpc__slot_get(const void *frame, const struct vmrpc_field *field)
{
	uint64_t word;

	__builtin_memcpy(&word, (const unsigned char *)frame + field->offset, sizeof word);
	return word;
}

static inline void vmrpc__slot_set(void *frame, const struct vmrpc_field *field, uint64_t word)
{
	__builtin_memcpy((unsigned char *)frame + field->offset, &word, sizeof word);
}

/* Numbers of size bytes, for handles that are numbers. */
static inline int64_t vmrpc__number_get(const void *frame, const struct vmrpc_field *field)
{
	int32_t number;

	if (field->pass->size == 8)
		return (int64_t)vmrpc__slot_get(frame, field);
	__builtin_memcpy(&number, (const unsigned char *)frame + field->offset, sizeof number);
	return number;
}

static inline void vmrpc__number_set(void *frame, const struct vmrpc_field *field, int64_t number)
{
	const int32_t narrow = (int32_t)number;

	if (field->pass->size == 8)
		vmrpc__slot_set(frame, field, (uint64_t)number);
	else
		__builtin_memcpy((unsigned char *)frame + field->offset, &narrow, sizeof narrow);
}

static inline bool vmrpc__is_number(const struct vmrpc_pass *pass)
{
	return pass->flags & VMRPC_PASS_NUMBER;
}

/* ---- lent.c: what the peer may use ----------------------------------------------------------------------- */

/* How many bytes from offset on lie in heaps, stacks and spill areas, up to the next guard page; 0: not there. */
uint64_t vmrpc__lent(const struct vmrpc__session *session, uint64_t offset);

/* ---- handles.c: callee ------------------------------------------------------------------------------------- */

struct vmrpc__handles;

/* The number of an object, made if need be. */
int vmrpc__handle_put(struct vmrpc__session *session, const struct vmrpc_pass *pass, void *object, uint64_t parent,
		      uint64_t *ret_word);
/* The object behind a number; until vmrpc__handle_done nobody can close it, or what it lives with. -EBADF. */
int vmrpc__handle_get(struct vmrpc__session *session, const struct vmrpc_handle_type *type, uint64_t word,
		      void **ret_object);
/* Of one that was got: nobody else can get it from here on. -EBUSY while others use it, or what lives with it. */
int vmrpc__handle_close(struct vmrpc__session *session, uint64_t word);
/* Numbers of 32 bits hold an index and the lower bits of a generation. -ENOMEM where the index is too large. */
int vmrpc__handle_narrow(uint64_t word, int64_t *ret_number);
/* The whole word for such a number; one that is no handle where it is none. */
uint64_t vmrpc__handle_widen(struct vmrpc__session *session, int64_t number);
/* After vmrpc__handle_close: it is forgotten (closed), or in use by others again, and by the caller still. */
void vmrpc__handle_closed(struct vmrpc__session *session, uint64_t word, bool closed);
/* The caller uses it no more. */
void vmrpc__handle_done(struct vmrpc__session *session, uint64_t word);

/* ---- left.c: caller --------------------------------------------------------------------------------------- */

/* A block of our arena, staged for a call that timed out on this channel. */
void vmrpc__left_add(struct vmrpc__session *session, uint32_t index, uint32_t generation, size_t offset);
/* Frees those whose channel the server has let go of. */
void vmrpc__left_release(struct vmrpc__session *session);

/* ---- keep.c: caller: results that outlive their call ---------------------------------------------------------- */

/* The caller's copy of a result that lives until the next call (of this method by this thread on this handle), or for
 * ever. NULL: no memory. */
void *vmrpc__keep_borrowed(const struct vmrpc_method *method, uint64_t handle, const void *bytes, size_t size);
void *vmrpc__keep_for_ever(const struct vmrpc__session *session, uint64_t identity, const void *bytes, size_t size);
/* Handles on complete types: the address that stands for a number, and back (0: none). */
void *vmrpc__object_of(struct vmrpc *conn, const struct vmrpc_handle_type *type, uint64_t word);
uint64_t vmrpc__object_word(struct vmrpc *conn, const void *object);
void vmrpc__object_forget(struct vmrpc *conn, uint64_t word);

/* caller.c and callee.c, and what ends things, are declared in internal.h. */

/* An address in the client's view of the region, for one of ours. */
static inline uint64_t vmrpc__to_word(const struct vmrpc__session *session, const void *address)
{
	return (uint64_t)(uintptr_t)address - (session->side == VMRPC__SERVER ? (uint64_t)session->offset : 0);
}

/* The offset in the region that a word means; large and outside where it means none. */
static inline uint64_t vmrpc__word_offset(const struct vmrpc__session *session, uint64_t word)
{
	return word - vmrpc__to_word(session, session->region.base);
}

/* Where that is for us; nothing has checked it yet, so this is no arithmetic of pointers. */
static inline unsigned char *vmrpc__at(const struct vmrpc__session *session, uint64_t offset)
{
	return (unsigned char *)((uintptr_t)session->region.base + (uintptr_t)offset);
}

static inline bool vmrpc__in_region(const struct vmrpc__session *session, const void *address)
{
	return (uintptr_t)address - (uintptr_t)session->region.base <
	       atomic_load_explicit(&session->region.size, memory_order_relaxed);
}

#endif
