/* What the tables of a service say: every method and type it has, and what happens to each value when it travels.
 *
 * vmrpcgen writes these tables. The runtime obeys them, on both sides of a call; programs that list or call a service
 * without its stubs read them, too. */
#ifndef VMRPC_DESCRIBE_H
#define VMRPC_DESCRIBE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum vmrpc_type_kind {
	VMRPC_TYPE_VOID,
	VMRPC_TYPE_BOOL,
	VMRPC_TYPE_SIGNED,
	VMRPC_TYPE_UNSIGNED,
	VMRPC_TYPE_FLOAT,
	VMRPC_TYPE_COMPLEX,
	VMRPC_TYPE_POINTER,
	VMRPC_TYPE_ARRAY,
	VMRPC_TYPE_STRUCT,
	VMRPC_TYPE_UNION,
	VMRPC_TYPE_OTHER, /* only its size is known */
};

struct vmrpc_type {
	enum vmrpc_type_kind kind;
	const char *name;		 /* as C writes it; NULL where it has none */
	uint64_t size, align;		 /* 0: incomplete */
	const struct vmrpc_type *target; /* of a pointer, array or complex number; NULL where that is not described */
	uint64_t count;			 /* of an array's elements */
	const struct vmrpc_field *fields;
	uint32_t n_fields;
};

struct vmrpc_pass;

struct vmrpc_field { /* of a struct or union; a parameter or result in its frame */
	const char *name;
	const struct vmrpc_type *type;
	uint32_t offset;	       /* in bytes; of a bit-field in bits */
	int32_t bits;		       /* of a bit-field, else -1 */
	const struct vmrpc_pass *pass; /* NULL: its bits are all there is to it */
};

/* ---- what happens to a value that is more than its bits ------------------------------------------------------ */

/* pass.kind */
enum {
	VMRPC_PASS_DATA = 1, /* what it points to is carried */
	VMRPC_PASS_HANDLE,   /* an object of the callee's side, known to the caller by a number */
	VMRPC_PASS_INTO,     /* points into what parameter into points to, or right behind that */
	VMRPC_PASS_SHARED,   /* the address itself */
	VMRPC_PASS_SCRATCH,  /* memory that the callee may use */
};

/* pass.direction; VMRPC_GOES_IN | VMRPC_GOES_OUT is both */
enum {
	VMRPC_GOES_IN = 1,
	VMRPC_GOES_OUT = 2,
};

/* pass.extent */
enum {
	VMRPC_EXTENT_ONE = 0,
	VMRPC_EXTENT_COUNT,	 /* before: elements */
	VMRPC_EXTENT_SIZE,	 /* before: bytes */
	VMRPC_EXTENT_STRING,	 /* up to and with a zero element */
	VMRPC_EXTENT_STRING_MAX, /* the same, or before elements */
	VMRPC_EXTENT_END,	 /* before: the address right behind */
	VMRPC_EXTENT_RANGE,	 /* before: first element; after: the one behind the last; both evaluated before */
	VMRPC_EXTENT_RANGE_TO,	 /* the same, as addresses */
	VMRPC_EXTENT_COUNT_OUT,	 /* before: capacity in elements; after: how many count after the call */
	VMRPC_EXTENT_SIZE_OUT,	 /* the same in bytes */
	VMRPC_EXTENT_STRING_OUT, /* before: capacity in elements; a zero ends what counts */
};

/* pass.lifetime, of results */
enum {
	VMRPC_LIVES_FOR_CALL = 0,
	VMRPC_LIVES_UNTIL_FREE,	      /* the caller frees it with free() */
	VMRPC_LIVES_UNTIL_VMRPC_FREE, /* or with vmrpc_free(), or a method that does that */
	VMRPC_LIVES_UNTIL_NEXT_CALL,
	VMRPC_LIVES_FOR_EVER,
};

/* pass.flags */
enum {
	VMRPC_PASS_NONNULL = 1 << 0,
	VMRPC_PASS_SNAPSHOT = 1 << 1, /* a callee that does not trust its caller works on a private copy */
	VMRPC_PASS_CLOSES = 1 << 2,   /* the handle ends with this call, if condition holds */
	VMRPC_PASS_BORROWED = 1 << 3, /* a handle that is never closed for its caller */
	VMRPC_PASS_COPY = 1 << 4,     /* a private copy whatever the trust */
	VMRPC_PASS_NUMBER = 1 << 5,   /* a handle that is a number of size bytes; 0 and less stay what they are */
};

struct vmrpc_handle_type {
	const char *name;
	uint64_t object_size;	     /* of a complete type: at the caller its handles are addresses of zeroed objects */
	void (*close)(void *object); /* callee: what is called for those a dead client left; NULL: nothing */
};

struct vmrpc_pass {
	uint8_t kind, direction, extent, lifetime;
	uint32_t flags;
	uint32_t size, align;	       /* of one element */
	const int64_t *before, *after; /* expressions of the extent */
	const int64_t *condition;      /* of CLOSES */
	const struct vmrpc_handle_type *handle;
	void (*close)(void *object);   /* callee: of handles made here, instead of their type's */
	void (*release)(void *memory); /* callee: frees a result once it is on its way to the caller */
	const struct vmrpc_pass *each; /* of elements that are more than their bits */
	uint32_t into;		       /* the field it points into */
	uint32_t parent;	       /* of a handle: one more than the field whose handle it lives with; 0: none */
};

/* ---- expressions: a stack of 64-bit numbers with sign, every step checked for overflow --------------------------- */

enum {
	VMRPC_OP_END,	  /* the result is on top */
	VMRPC_OP_CONST,	  /* the next word */
	VMRPC_OP_FIELD,	  /* of width, from the frame or struct */
	VMRPC_OP_AT,	  /* of width, what the pointer in field points to; takes a number of bytes to go on */
	VMRPC_OP_STRLEN,  /* of what the pointer in field points to */
	VMRPC_OP_STRNLEN, /* the same, at most as many as it takes */
	VMRPC_OP_SUM,	  /* of as many elements as it takes */
	VMRPC_OP_ADD,
	VMRPC_OP_SUB,
	VMRPC_OP_MUL,
	VMRPC_OP_DIV,
	VMRPC_OP_REM,
	VMRPC_OP_SHL,
	VMRPC_OP_SHR,
	VMRPC_OP_AND,
	VMRPC_OP_OR,
	VMRPC_OP_XOR,
	VMRPC_OP_EQ,
	VMRPC_OP_NE,
	VMRPC_OP_LT,
	VMRPC_OP_GT,
	VMRPC_OP_LE,
	VMRPC_OP_GE,
	VMRPC_OP_MIN,
	VMRPC_OP_MAX,
	VMRPC_OP_NEG,
	VMRPC_OP_NOT,	       /* ! */
	VMRPC_OP_INV,	       /* ~ */
	VMRPC_OP_JUMP,	       /* offset words on, from behind itself */
	VMRPC_OP_JUMP_IF_ZERO, /* takes what it looks at */
};

#define VMRPC_STACK_MAX 32 /* of numbers at a time */

/* One word: what to do, with numbers of width bytes (negative: with sign), field of the frame or struct, offset. */
#define VMRPC_CODE(op, width, field, offset)                                                                         \
	((int64_t)((uint64_t)(VMRPC_OP_##op) | (uint64_t)(uint8_t)(width) << 8 | (uint64_t)(uint16_t)(field) << 16 | \
		   (uint64_t)(uint32_t)(offset) << 32))
#define VMRPC_DO(op) VMRPC_CODE(op, 0, 0, 0)

#ifdef __cplusplus
}
#endif
#endif
