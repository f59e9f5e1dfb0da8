/* Small questions about types, and their text in C. */
#include <string.h>

#include "model.h"

struct type *bare_type(struct type *type)
{
	while (type->kind == TYPE_TYPEDEF)
		type = type->target;
	return type;
}

bool is_integer(const struct type *type)
{
	while (type->kind == TYPE_TYPEDEF)
		type = type->target;
	return type->kind == TYPE_INT || type->kind == TYPE_BOOL || type->kind == TYPE_ENUM;
}

bool is_pointer(struct type *type)
{
	const enum type_kind kind = bare_type(type)->kind;

	return kind == TYPE_POINTER || kind == TYPE_ARRAY || kind == TYPE_OPEN_ARRAY;
}

bool is_scalar(const struct type *type)
{
	while (type->kind == TYPE_TYPEDEF)
		type = type->target;
	return is_integer(type) || type->kind == TYPE_FLOAT || type->kind == TYPE_COMPLEX;
}

bool is_character(struct type *type)
{
	type = bare_type(type);
	return type->kind == TYPE_INT && type->size == 1;
}

struct note *find_note(struct note *notes, enum word word)
{
	for (; notes; notes = notes->next)
		if (notes->word == word)
			return notes;
	return NULL;
}

static const char *qualified(const struct type *type, const char *text)
{
	return format("%s%s%s%s", type->is_const ? "const " : "", type->is_volatile ? "volatile " : "",
		      type->kind == TYPE_POINTER && type->is_restrict ? "__restrict " : "", text);
}

static const char *signature_text(const struct signature *signature)
{
	struct text text = {0};

	add(&text, "(");
	for (unsigned i = 0; i < signature->n_params; i++)
		add(&text, "%s%s", i ? ", " : "", declaration(signature->params[i]->type, signature->params[i]->name));
	if (signature->is_variadic)
		add(&text, ", ...");
	else if (!signature->n_params && signature->has_prototype)
		add(&text, "void");
	add(&text, ")");
	return text.string;
}

/* C's declarators grow outwards from the name: a pointer is written before it, arrays and parameters behind, and
 * parentheses keep the pointer nearer. */
const char *declaration(struct type *type, const char *name)
{
	const char *blank = *name ? " " : "";

	switch (type->kind) {
	case TYPE_POINTER: {
		const char *words = qualified(type, "");
		const char *inner = *name    ? format("*%s%s", words, name)
				    : *words ? format("*%.*s", (int)strlen(words) - 1, words)
					     : "*";
		enum type_kind kind = type->target->kind;

		if (kind == TYPE_FUNCTION || kind == TYPE_ARRAY || kind == TYPE_OPEN_ARRAY)
			inner = format("(%s)", inner);
		return declaration(type->target, inner);
	}
	case TYPE_ARRAY:
		return declaration(type->target, format("%s[%llu]", name, (unsigned long long)type->count));
	case TYPE_OPEN_ARRAY:
		return declaration(type->target, format("%s[%s]", name, type->length ? type->length : ""));
	case TYPE_FUNCTION:
		return declaration(type->signature->result->type,
				   format("%s%s", name, signature_text(type->signature)));
	case TYPE_ATOMIC:
		return format("_Atomic(%s)%s%s", type_text(type->target), blank, name);
	default:
		return format("%s%s%s",
			      qualified(type, type->name					    ? type->name
					      : type->kind == TYPE_RECORD && type->record->is_union ? "union"
												    : "struct"),
			      blank, name);
	}
}

const char *type_text(struct type *type)
{
	return declaration(type, "");
}

bool same_type(struct type *a, struct type *b)
{
	a = bare_type(a);
	b = bare_type(b);
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case TYPE_POINTER:
		return same_type(a->target, b->target);
	case TYPE_RECORD:
		return a->record == b->record;
	default:
		return same(a->name, b->name);
	}
}

bool has_result(const struct function *function)
{
	return bare_type(function->signature->result->type)->kind != TYPE_VOID;
}

bool is_freeing(const struct function *function)
{
	const struct signature *signature = function->signature;

	return signature->n_params == 1 && signature->params[0]->passing &&
	       signature->params[0]->passing->kind == PASS_FREED;
}
