/* What a header says, as plain data. parse.c makes it, every other stage reads it, and infer.c adds to each value
 * how it will be passed.
 *
 * service: all that one run reads. method: a function of it that is called remotely. value: a parameter, a result, a
 * field, or what a typedef names. note: one annotation. passing: what happens to a value when it is carried. */
#ifndef MODEL_H
#define MODEL_H

#include "text.h"

struct location {
	const char *file; /* as it is shown; NULL where there is none */
	unsigned line, column;
};

enum type_kind {
	TYPE_VOID,
	TYPE_BOOL,
	TYPE_INT, /* char and __int128 included */
	TYPE_ENUM,
	TYPE_FLOAT,
	TYPE_COMPLEX,
	TYPE_POINTER,
	TYPE_ARRAY,	 /* count elements */
	TYPE_OPEN_ARRAY, /* of a length C does not know: T a[], T a[n] */
	TYPE_RECORD,	 /* struct or union */
	TYPE_FUNCTION,
	TYPE_TYPEDEF,
	TYPE_ATOMIC,
	TYPE_VECTOR,
	TYPE_VA_LIST,
	TYPE_OTHER, /* of another language, or newer than this program */
};

struct type {
	enum type_kind kind;
	const char *name; /* as C writes it, without qualifiers */
	uint64_t size, align;
	uint64_t filled; /* bytes of a float that hold its value; 0: all */
	bool is_signed, is_const, is_volatile, is_restrict;
	bool is_static;	     /* T a[static n] */
	struct type *target; /* pointed to, element, or what a typedef stands for */
	uint64_t count;
	const char *length; /* of an open array: n in T a[n] */
	struct record *record;
	struct enumeration *enumeration;
	struct alias *alias;
	struct signature *signature;
};

struct signature {
	struct value *result;
	struct value **params;
	unsigned n_params;
	bool is_variadic, has_prototype;
};

struct value {
	const char *name;	/* "" when it has none */
	const char *other_name; /* of the same parameter in a redeclaration */
	struct type *type;
	struct location at;
	struct note *notes;
	struct signature *signature; /* of the function it points to, as written here */
	uint64_t offset;	     /* of a field, in bits */
	int bits;		     /* of a bit-field, else -1 */
	struct passing *passing;
	bool is_wrong; /* one error for each value is enough */
};

struct record {
	const char *name; /* "struct point", or a typedef's name, or NULL */
	struct location at;
	bool is_union, is_complete;
	uint64_t size, align;
	struct value **fields;
	unsigned n_fields;
	struct note *notes;
	/* what later stages find out */
	bool is_inferring, is_inferred, has_pointers, has_atomics;
	unsigned mark;	      /* of the last walk that came by */
	unsigned number;      /* of those that frames hold, from 1 in the order they are met */
	unsigned described;   /* in the words of which method */
	struct inner *inners; /* its pointers, those of structs in it included */
	unsigned n_inners;
	bool is_planned;
	const char *why_not; /* carried; "" while that is asked */
	const char *made_by; /* a function that returns a pointer to it */
};

struct inner { /* a pointer in a struct, or several behind each other */
	struct plan *plan;
	uint64_t offset, count;
	struct code *condition;
};

struct enumeration {
	const char *name;
	struct type *underlying;
	const char **constants;
	int64_t *values;
	unsigned n;
};

struct alias {
	struct value value;    /* its name, what it stands for, its notes */
	struct type **waiting; /* until that is known */
	unsigned n_waiting;
};

struct function {
	const char *name;
	struct location at;
	const char *prototype; /* on one line, without annotations */
	struct signature *signature;
	struct note *notes; /* of the call and of the result */
	bool is_noreturn;
	const char *source; /* its text in the header, for what libclang does not tell */
	/* what later stages find out */
	bool is_skipped;
	uint64_t timeout_ms;
	int64_t id;	     /* -1: none */
	unsigned number;     /* in the table of methods */
	const char *on_fail; /* NULL: none; "" for void */
	struct frame *frame;
	const char *layout; /* everything both sides must agree on, in words */
	uint64_t digest;
};

struct constant { /* a name in an annotation that only the compiler knows: a macro, a global enum constant */
	const char *name;
	int64_t value;
};

struct header {
	const char *path;    /* as it was given */
	const char *real;    /* absolute */
	const char *include; /* as generated code includes it */
	bool is_sidecar;
};

struct service {
	const char *name;
	uint64_t major, minor;
	struct location at; /* of VMRPC_SERVICE; line 0 without */
	struct header *headers;
	unsigned n_headers;
	struct function **functions;
	unsigned n_functions;
	struct function **locals; /* inline: they stay where they are called */
	unsigned n_locals;
	struct value **objects; /* extern variables */
	unsigned n_objects;
	struct alias **aliases;
	unsigned n_aliases;
	struct record **records;
	unsigned n_records;
	struct note *directives; /* VMRPC_FIELD, VMRPC_TYPE, VMRPC_DEFAULT_FAIL */
	struct note *fail_defaults;
	struct function **methods; /* by number; NULL where there is none */
	unsigned n_methods;
	struct record **carried; /* by frames, inner ones first */
	unsigned n_carried;
	struct handle_type **handles;
	unsigned n_handles;
	struct record **deep; /* with pointers that are followed */
	unsigned n_deep;
	const char **dependencies; /* every file that was read */
	unsigned n_dependencies;
};

/* Annotations. */

enum word {
#define WORD(name, arguments, places) WORD_##name,
#include "words.h"
#undef WORD
	N_WORDS,
};

enum place {
	ON_PARAMETER = 1 << 0,
	ON_FIELD = 1 << 1,
	ON_RESULT = 1 << 2, /* on a function, of its result */
	ON_FUNCTION = 1 << 3,
	ON_TYPE = 1 << 4,
	ON_MEMBER = 1 << 5, /* of a union */
	ON_LINE = 1 << 6,   /* alone */
};

struct note {
	enum word word;
	struct location at;
	const char *text; /* what stands between its parentheses; NULL without */
	const char **args;
	unsigned n_args;
	struct expr **exprs;	 /* of the arguments that are expressions, NULL for the rest */
	bool is_wrong;		 /* something inside was */
	struct note *inner;	 /* of EACH, RESULT, WHEN, FIELD, TYPE */
	struct type *type;	 /* of FIELD, TYPE, DEFAULT_FAIL */
	struct signature *shape; /* of a FIELD given with its parameters */
	struct note *next;
};

enum expr_op {
	EXPR_NUMBER,
	EXPR_NAME,
	EXPR_STRING,
	EXPR_MEMBER, /* a.f and p->f */
	EXPR_INDEX,
	EXPR_CALL,
	EXPR_SIZEOF,
	EXPR_UNARY,
	EXPR_BINARY,
	EXPR_CONDITION, /* a ? b : c */
};

struct expr {
	enum expr_op op;
	const char *name; /* of a name, member, operator or type */
	int64_t value;
	struct expr *operands[3]; /* arguments of a call hang on each other by next */
	struct expr *next;
	unsigned begin;		/* where in the text of its note */
	struct type *type;	/* what check.c found it to be */
	struct value *value_of; /* the parameter or field it names */
};

/* How values are passed. */

enum passing_kind {
	PASS_VALUE,  /* the bits are all there is */
	PASS_RECORD, /* a struct or union by value, its fields each in their way */
	PASS_ARRAY,  /* an array that is a field */
	PASS_DATA,   /* what it points to is carried */
	PASS_HANDLE,
	PASS_CALLBACK,
	PASS_USERDATA,
	PASS_STREAM,
	PASS_OBJECT,
	PASS_SHARED, /* the address itself */
	PASS_SCRATCH,
	PASS_INTO,
	PASS_DESCRIPTOR,
	PASS_SKIPPED, /* the callee sees zero */
	PASS_FREED,   /* the caller's to free, where it is */
	PASS_REFUSED,
	PASS_VOID,
};

enum direction { DIRECTION_NONE, DIRECTION_IN, DIRECTION_OUT, DIRECTION_INOUT };

enum origin { INFERRED, WRITTEN, REFUSED };

struct passing {
	enum passing_kind kind;
	enum direction direction;
	enum origin origin;
	const struct note *extent;   /* NULL: one element */
	const struct note *lifetime; /* NULL: for the call */
	const char *length;	     /* T a[n]: the extent C wrote */
	struct passing *each;	     /* what each element is */
	bool nonnull, conditional;
	const char *because; /* of what was inferred or refused */
	const char *doubt;   /* why what was inferred by the rule may be wrong; NULL: it is not */
	const char *write;   /* what to write instead, of what was refused or is in doubt */
};

/* The frame of a method. */

struct slot {
	struct value *value; /* NULL: padding, or errno */
	const char *name;
	uint64_t offset, size;
	struct plan *plan; /* NULL: its bits are all there is to it */
};

/* What the tables will say of a value: the generator's side of struct vmrpc_pass. */

struct code { /* an expression, word by word */
	const char **words;
	unsigned n;
};

struct plan {
	const char *name;		      /* of its table */
	const char *kind, *extent, *lifetime; /* the last parts of VMRPC_PASS_*, VMRPC_EXTENT_*, VMRPC_LIVES_* */
	enum direction direction;
	bool nonnull, closes, borrowed, copy, number, is_looked_at;
	struct type *element; /* NULL: bytes */
	uint64_t size, align;
	struct code *before, *after, *condition;
	struct handle_type *handle;
	const char *close;     /* a call with self for the handle */
	const char *release;   /* a function */
	struct plan *each;     /* of elements that are handles */
	struct plan *deeper;   /* of elements that are pointers to data */
	struct record *record; /* of elements that are structs with pointers */
	struct record *scope;  /* whose fields its expressions speak of; NULL: parameters */
	uint64_t scope_offset; /* of that in the struct that is followed */
	bool graph;
	const struct value *into, *parent;
	struct value **needs; /* parameters whose memory expressions read */
	unsigned n_needs;
	unsigned mark; /* while they are put in order */
};

struct handle_type {
	const char *name; /* as in C, or as VMRPC_HANDLE(name) has it */
	const char *id;	  /* as part of an identifier */
	struct type *type;
	uint64_t object_size; /* 0: incomplete */
	const char *close;    /* as above; NULL: nothing */
};

struct frame {
	struct slot *slots;
	unsigned n_slots;
	unsigned *order; /* of the slots with plans: those that others need come first */
	unsigned n_order;
	struct code *success;
	uint64_t size, result_offset;
	const char *result_name, *errno_name; /* NULL without */
};

/* Small questions about the above. */
struct type *bare_type(struct type *type); /* without typedefs */
bool is_integer(const struct type *type);
bool is_pointer(struct type *type); /* or an array, which parameters are pointers to the first element of */
bool is_scalar(const struct type *type);
bool is_character(struct type *type); /* one byte: char, signed char, unsigned char */
struct note *find_note(struct note *notes, enum word word);
const char *type_text(struct type *type);
/* "int (*name)(void)": type as the declaration of name. */
const char *declaration(struct type *type, const char *name);
bool same_type(struct type *a, struct type *b);
bool has_result(const struct function *function);
/* Whether its stub only frees what a call gave to the caller. */
bool is_freeing(const struct function *function);

#endif
