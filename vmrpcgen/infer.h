/* What infer.c and ask.c share: where a value stands, and how a passing is made. */
#ifndef INFER_H
#define INFER_H

#include "stages.h"

enum role { PARAMETER, RESULT, FIELD, ELEMENT };

struct context {
	enum role role;
	struct value *value; /* whose level this is, for names and suggestions */
	struct signature *within;
	enum direction direction; /* of the level above an element */
	unsigned depth;
	const struct function *function; /* whose parameter it is; NULL for callbacks and fields */
	const struct service *service;
};

struct passing *new_passing(enum passing_kind kind, enum origin origin, const char *because);
struct passing *refuse(const char *write, const char *because);
const char *name_of(const struct context *context); /* "'p'", "the result" */
/* Refuses a pointer of which nothing says what, with the likeliest words. */
struct passing *ask(struct type *type, struct type *target, const struct context *context, const char *what);
/* Why a pointer to const, of which nothing is written, may not be one element that goes in, as the rule has it; NULL
 * where it is. */
struct passing *doubt(struct type *type, struct type *target, const struct context *context);
/* Whether so much speaks against one element that the rule is no excuse: an array, or a length beside it. */
bool is_surely_more(struct type *type, struct type *target, const struct context *context);
/* The header that completes a struct everybody knows; NULL for all others. */
const char *header_of(const struct record *record);

#endif
