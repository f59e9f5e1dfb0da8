/* The stages, in the order main.c runs them. Each reports what it finds and goes on. */
#ifndef STAGES_H
#define STAGES_H

#include <stdio.h>

#include "model.h"

struct options {
	const char *output; /* folder */
	const char *name;
	const char *depfile;
	bool explain, suggest;
	const char **flags; /* for the compiler */
	unsigned n_flags;
	const char *replaces; /* a library; then there are no headers, but the client's objects */
	const char **objects;
	unsigned n_objects;
};

/* diag.c: what is wrong, and where. Nothing is printed before report(). */
void error(struct location at, const char *write, const char *format, ...) __attribute__((format(printf, 3, 4)));
void warning(struct location at, const char *write, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Prints everything in the order of the sources; how many errors there were. */
unsigned report(FILE *to);
unsigned count_errors(void);
const char *source_line(const char *file, unsigned line);

/* parse.c: headers into the model. False when they are no C. */
bool parse(struct service *service, const struct options *options);
/* Whether any header declares it, inline or not. */
bool function_is_declared(const char *name);
/* Asks the compiler for the values of macros that annotations use, and for what fields look like that are given with
 * their parameters. */
bool parse_again(struct service *service, const struct options *options);

/* attribute.c: GNU attributes as annotations. */
void use_attributes(struct service *service);

/* merge.c */
void gather_directives(struct service *service);
void merge(struct service *service);

/* annotation.c */
struct note *read_note(const char *text, struct location at);
void resolve_notes(struct note *notes); /* parses the expressions in them */
const char *word_name(enum word word);	/* "VMRPC_COUNT" */
const char *nearest_word(const char *name);
enum place word_places(enum word word);
const char *note_text(const struct note *note); /* "VMRPC_COUNT(n)" */
void add_notes(struct note **list, struct note *notes);

/* expr.c: NULL after an error. */
struct expr *read_expr(const char *text, const struct note *note);
/* The column of a part of a note's text, as far as the source shows it. */
struct location inside_note(const struct note *note, const char *text, unsigned offset);

/* constant.c: names that only the compiler knows. */
struct constant *find_constant(const char *name);
void want_constant(const char *name);
const char **wanted_constants(unsigned *ret_n);
void set_constant(const char *name, int64_t value);
bool constant_value(const struct expr *expr, int64_t *ret_value);

/* infer.c: how every value is passed. */
void infer(struct service *service);
struct note *type_notes(struct type *type, enum word word);

/* walk.c: every place where words may stand. */
struct site {
	struct note *notes;
	int places;	     /* what they may be about */
	struct value *value; /* NULL: a type */
	struct type *type;
	struct record *record; /* whose notes these are, or whose field */
	struct function *function;
	struct signature *signature;
	const char *what; /* "parameter 'n'" */
};
void walk(struct service *service, void (*visit)(const struct service *service, const struct site *site));

/* check.c, check_expr.c, check_call.c: what contradicts the types, or itself. */
void gather(struct service *service); /* parses all expressions; asks for constants */
void check(struct service *service, bool refusals);
void check_call(struct service *service, struct function *function);
/* What an expression may speak of. */
struct scope {
	const struct service *service;
	struct signature *signature; /* parameters, may be NULL */
	struct record *record;	     /* fields, may be NULL */
	bool with_result;
};
void check_expr(struct expr *expr, const struct note *note, const struct scope *scope);

/* carry.c: complains of what calls can't carry yet. */
void carry(struct service *service);
const char *passing_text(const struct passing *passing, struct type *type); /* "in, n elements" */

/* plan.c: what happens to each slot of a frame that is more than its bits. code.c: expressions for the tables. */
void plan(struct service *service, struct function *function);
unsigned field_number(const struct frame *frame, const struct value *value);
/* NULL after an error. Adds to needs the parameters whose memory it reads. */
struct code *compile_expr(const struct expr *expr, const struct note *note, const struct service *service,
			  struct function *function, struct plan *plan);
struct type *expr_type(const struct expr *expr, const struct service *service, struct function *function);
struct code *number_code(int64_t value);

/* layout.c: frames, layouts in words, digests. */
void lay_out(struct service *service);
/* A byte for each byte of the type, with the bits set that hold a value. Members of structs that are structs
 * themselves count as full unless deep. */
unsigned char *value_bits(struct type *type, bool deep);
bool has_padding(struct type *type);

/* emit_tables.c: everything that describe.h knows. */
void emit_tables(struct text *out, const struct service *service, bool serves);
/* The fields of method's struct vmrpc_method that speak of them. */
void emit_method_tables(struct text *out, const struct function *function);

/* emit.c: what client and server have in common. emit_header.c, emit_client.c, emit_server.c: one file each. */
void emit_top(struct text *out, const struct service *service, const char *what);
/* Undefines macros that are called as functions are, so that the functions can be defined and called. */
void emit_undefs(struct text *out, const struct service *service);
void emit_frames(struct text *out, const struct service *service);
void emit_clean(struct text *out, const struct service *service, bool results);
void emit_service(struct text *out, const struct service *service, bool serves);
void emit_store(struct text *out, struct type *type, const char *to, const char *from, bool clean);
void emit_origin(struct text *out, const struct function *function);
bool is_carried_as_bytes(struct type *type);
/* "int a, struct point b" or "void"; first, when not NULL, comes before. */
const char *params_text(const struct function *function, const char *first, const char *last);
/* name, or something like it that no parameter of function is called. */
const char *free_name(const struct function *function, const char *name);
const char *plain_declaration(struct type *type, const char *name); /* without const */
void emit_header(struct text *out, const struct service *service);
void emit_client(struct text *out, const struct service *service);
void emit_server(struct text *out, const struct service *service);
void emit_depfile(struct text *out, const struct service *service, const struct options *options);

/* main.c: whole or not at all. */
void write_file(const char *path, const struct text *text);

/* replace.c: the client's objects in the place of a shared library. */
void replace(const struct options *options);

void explain(FILE *to, const struct service *service);
void suggest(FILE *to, const struct service *service);

#endif
