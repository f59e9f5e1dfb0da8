/* What the names in expressions mean, and whether the whole is something that can be computed. */
#include <string.h>

#include "stages.h"

static struct type a_number = {.kind = TYPE_INT, .name = "number", .size = 8, .align = 8, .is_signed = true};

struct checker {
	const struct note *note;
	const struct scope *scope;
	const char *text;
	bool failed, gathering;
};

static struct type *check_node(struct checker *checker, struct expr *expr);

static void fail(struct checker *checker, const struct expr *expr, const char *write, const char *message)
{
	if (!checker->failed && !checker->gathering)
		error(inside_note(checker->note, checker->text, expr->begin), write, "%s in %s", message,
		      note_text(checker->note));
	checker->failed = true;
}

static struct value *named(struct value *const *values, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(values[i]->name, name) == 0 || same(values[i]->other_name, name))
			return values[i];
	return NULL;
}

static struct value *field_of(struct record *record, const char *name)
{
	struct value *field = named(record->fields, record->n_fields, name);

	for (unsigned i = 0; !field && i < record->n_fields; i++)
		if (!*record->fields[i]->name && bare_type(record->fields[i]->type)->kind == TYPE_RECORD)
			field = field_of(bare_type(record->fields[i]->type)->record, name);
	return field;
}

static struct type *check_name(struct checker *checker, struct expr *expr)
{
	const struct scope *scope = checker->scope;
	struct value *value = NULL;

	if (scope->signature)
		value = named(scope->signature->params, scope->signature->n_params, expr->name);
	if (!value && scope->record)
		value = field_of(scope->record, expr->name);
	if (!value && scope->signature && strcmp(expr->name, "result") == 0)
		value = scope->signature->result;
	if (value) {
		expr->value_of = value;
		return value->type;
	}
	if (find_constant(expr->name) || strcmp(expr->name, "self") == 0 || strcmp(expr->name, "NULL") == 0)
		return &a_number;
	if (checker->gathering)
		want_constant(expr->name);
	fail(checker, expr, NULL,
	     format("'%s' is no %s and no constant", expr->name, scope->signature ? "parameter" : "field"));
	return &a_number;
}

static struct type *check_member(struct checker *checker, struct expr *expr)
{
	struct type *type = bare_type(check_node(checker, expr->operands[0]));
	struct value *field;

	if (checker->failed)
		return &a_number;
	if (type->kind == TYPE_POINTER || type->kind == TYPE_ARRAY || type->kind == TYPE_OPEN_ARRAY)
		type = bare_type(type->target);
	if (type->kind != TYPE_RECORD || !type->record->is_complete) {
		fail(checker, expr, NULL, format("'%s' is asked of something that has no fields", expr->name));
		return &a_number;
	}
	field = field_of(type->record, expr->name);
	if (!field) {
		fail(checker, expr, NULL, format("'%s' has no field '%s'", type_text(type), expr->name));
		return &a_number;
	}
	expr->value_of = field;
	return field->type;
}

static struct type *pointee(struct checker *checker, struct expr *expr, struct type *type)
{
	type = bare_type(type);
	if (type->kind == TYPE_POINTER || type->kind == TYPE_ARRAY || type->kind == TYPE_OPEN_ARRAY)
		return type->target;
	fail(checker, expr, NULL, format("'%s' is no pointer", type_text(type)));
	return &a_number;
}

static struct type *check_call_node(struct checker *checker, struct expr *expr)
{
	static const struct {
		const char *name;
		unsigned n;
	} builtins[] = {{"strlen", 1}, {"strnlen", 2}, {"sum", 2}, {"min", 2}, {"max", 2}};
	const struct service *service = checker->scope->service;
	const struct function *function = NULL;
	unsigned n = 0;

	for (struct expr *arg = expr->operands[1]; arg; arg = arg->next, n++)
		check_node(checker, arg);
	for (unsigned i = 0; i < sizeof builtins / sizeof *builtins; i++)
		if (strcmp(builtins[i].name, expr->name) == 0) {
			if (n != builtins[i].n)
				fail(checker, expr, NULL, format("%s takes %u arguments", expr->name, builtins[i].n));
			return &a_number;
		}
	for (unsigned i = 0; i < service->n_functions && !function; i++)
		if (strcmp(service->functions[i]->name, expr->name) == 0)
			function = service->functions[i];
	for (unsigned i = 0; i < service->n_locals && !function; i++)
		if (strcmp(service->locals[i]->name, expr->name) == 0)
			function = service->locals[i];
	if (!function)
		fail(checker, expr, NULL,
		     format("'%s' is neither a function of this service nor one that is static inline", expr->name));
	else if (n != function->signature->n_params)
		fail(checker, expr, NULL, format("%s takes %u arguments", expr->name, function->signature->n_params));
	else
		return function->signature->result->type;
	return &a_number;
}

static struct type *check_node(struct checker *checker, struct expr *expr)
{
	struct type *type, *other;

	switch (expr->op) {
	case EXPR_NUMBER:
	case EXPR_SIZEOF:
		return &a_number;
	case EXPR_STRING:
		fail(checker, expr, NULL, "a string is no number");
		return &a_number;
	case EXPR_NAME:
		return expr->type = check_name(checker, expr);
	case EXPR_MEMBER:
		return expr->type = check_member(checker, expr);
	case EXPR_INDEX:
		type = check_node(checker, expr->operands[0]);
		check_node(checker, expr->operands[1]);
		return expr->type = checker->failed ? &a_number : pointee(checker, expr, type);
	case EXPR_CALL:
		return expr->type = check_call_node(checker, expr);
	case EXPR_UNARY:
		type = check_node(checker, expr->operands[0]);
		if (*expr->name == '*' && !checker->failed)
			return expr->type = pointee(checker, expr, type);
		return *expr->name == '&' ? type : &a_number;
	case EXPR_BINARY:
		type = check_node(checker, expr->operands[0]);
		other = check_node(checker, expr->operands[1]);
		if ((strcmp(expr->name, "+") == 0 || strcmp(expr->name, "-") == 0) && is_pointer(type) &&
		    !(*expr->name == '-' && is_pointer(other)))
			return type;
		return &a_number;
	case EXPR_CONDITION:
		check_node(checker, expr->operands[0]);
		type = check_node(checker, expr->operands[1]);
		check_node(checker, expr->operands[2]);
		return type;
	}
	return &a_number;
}

static bool wants_integer(enum word word)
{
	return word != WORD_END && word != WORD_INTO && word != WORD_RANGE && word != WORD_WHEN &&
	       word != WORD_SUCCESS && word != WORD_CLOSES_IF;
}

static const char *argument_of(const struct note *note, const struct expr *expr)
{
	for (unsigned i = 0; i < note->n_args; i++)
		if (note->exprs[i] == expr)
			return note->args[i];
	return note->text;
}

void check_expr(struct expr *expr, const struct note *note, const struct scope *scope)
{
	struct checker checker = {.note = note, .scope = scope, .text = argument_of(note, expr)};
	struct type *type = check_node(&checker, expr);
	int64_t value;

	if (checker.failed || !wants_integer(note->word))
		return;
	if (!is_integer(type)) {
		const bool points = bare_type(type)->kind == TYPE_POINTER && is_integer(bare_type(type)->target);

		fail(&checker, expr, points ? format("*%s", checker.text) : NULL,
		     format("'%s' is '%s', no integer,", checker.text, type_text(type)));
	} else if (constant_value(expr, &value) && value < 0 && note->word != WORD_CASE) {
		fail(&checker, expr, NULL, format("%lld is less than nothing", (long long)value));
	}
}

/* The names that no scope knows are asked of the compiler. */
static void gather_list(struct note *notes, const struct scope *scope)
{
	for (; notes; notes = notes->next) {
		for (unsigned i = 0; i < notes->n_args; i++)
			if (notes->exprs[i]) {
				struct checker checker = {
					.note = notes, .scope = scope, .text = notes->args[i], .gathering = true};

				check_node(&checker, notes->exprs[i]);
			}
		gather_list(notes->inner, scope);
	}
}

static void gather_site(const struct service *service, const struct site *site)
{
	struct scope scope = {.service = service, .signature = site->signature, .record = site->record};

	resolve_notes(site->notes);
	gather_list(site->notes, &scope);
}

void gather(struct service *service)
{
	walk(service, gather_site);
}
