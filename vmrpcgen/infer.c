/* How each value is passed: what was written, what C itself says, and where neither says enough, a refusal with what
 * could be written. It never guesses: what is right only perhaps is asked. */
#include <string.h>

#include "infer.h"

#define N(array) (sizeof(array) / sizeof *(array))

static struct passing *pass(struct type *type, struct note *notes, const struct context *context);
static void infer_record(struct record *record);
static struct passing *infer_value(struct value *value, struct signature *within, enum role role);

/* Whether results of some function are freed with the one called name. */
static bool frees_results(const struct service *service, const char *name)
{
	for (unsigned i = 0; i < service->n_functions; i++) {
		const struct note *note = find_note(service->functions[i]->notes, WORD_CALLER_FREES);

		if (note && note->n_args && strcmp(note->args[0], name) == 0)
			return true;
	}
	return false;
}

/* A word said of the type itself: on its typedefs, or on the struct, here or pointed to. */
struct note *type_notes(struct type *type, enum word word)
{
	struct note *note;

	for (unsigned level = 0; level < 2; level++) {
		for (; type->kind == TYPE_TYPEDEF; type = type->target) {
			note = find_note(type->alias->value.notes, word);
			if (note)
				return note;
		}
		if (type->kind == TYPE_RECORD)
			return find_note(type->record->notes, word);
		if (type->kind != TYPE_POINTER)
			return NULL;
		type = type->target;
	}
	return NULL;
}

/* Words that stand for a whole pointer may be said of its type; the rest only of what the typedef itself names. */
static struct note *said(struct type *type, struct note *notes, enum word word)
{
	struct note *note = find_note(notes, word);

	if (note)
		return note;
	if (word == WORD_HANDLE || word == WORD_OBJECT || word == WORD_SHARED || word == WORD_OWNED)
		return type_notes(type, word);
	for (; type->kind == TYPE_TYPEDEF; type = type->target) {
		note = find_note(type->alias->value.notes, word);
		if (note)
			return note;
	}
	return NULL;
}

static const struct note *first_of(struct type *type, struct note *notes, const enum word *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct note *note = said(type, notes, words[i]);

		if (note)
			return note;
	}
	return NULL;
}

static const enum word extents[] = {WORD_RANGE, /* of one with a length, too, only the window counts */
				    WORD_COUNT, WORD_SIZE,	WORD_STRING,   WORD_STRING_MAX, WORD_TERMINATED,
				    WORD_END,	WORD_COUNT_OUT, WORD_SIZE_OUT, WORD_STRING_OUT};
static const enum word lifetimes[] = {WORD_RETAINED,   WORD_CONSUMES, WORD_DISPOSED_BY, WORD_CALLER_FREES,
				      WORD_LIVES_WITH, WORD_BORROWED, WORD_STATIC,	WORD_OWNED};
static void infer_signature(struct signature *signature)
{
	for (unsigned i = 0; i < signature->n_params; i++)
		signature->params[i]->passing = infer_value(signature->params[i], signature, PARAMETER);
	signature->result->passing = infer_value(signature->result, NULL, RESULT);
}

static struct signature *callback_signature(struct type *type, const struct context *context)
{
	if (context->role != ELEMENT && context->value->signature)
		return context->value->signature;
	for (; type->kind == TYPE_TYPEDEF; type = type->target)
		if (type->alias->value.signature)
			return type->alias->value.signature;
	if (type->kind == TYPE_POINTER) {
		for (type = type->target; type->kind == TYPE_TYPEDEF; type = type->target)
			if (type->alias->value.signature)
				return type->alias->value.signature;
	}
	return type->kind == TYPE_FUNCTION ? type->signature : NULL;
}

static struct passing *pass_callback(struct type *type, struct note *notes, const struct context *context)
{
	struct signature *signature = callback_signature(type, context);
	struct passing *passing = new_passing(PASS_CALLBACK, INFERRED, "it points to a function");

	passing->lifetime = first_of(type, notes, lifetimes, N(lifetimes));
	if (!signature || context->depth > 8)
		return passing;
	if (!signature->has_prototype || signature->is_variadic)
		return refuse(NULL,
			      format("%s points to a function %s, whose arguments can't be known", name_of(context),
				     signature->has_prototype ? "with '...'" : "without prototype"));
	for (unsigned i = 0; i < signature->n_params; i++) {
		if (!*signature->params[i]->name)
			signature->params[i]->name = format("argument_%u", i + 1);
		if (!signature->params[i]->at.line)
			signature->params[i]->at = context->value->at;
	}
	if (!signature->result->at.line)
		signature->result->at = context->value->at;
	if (find_note(notes, WORD_RESULT) && !signature->result->notes)
		signature->result->notes = find_note(notes, WORD_RESULT)->inner;
	if (!signature->result->passing) {
		signature->result->passing = new_passing(PASS_VOID, INFERRED, "");
		infer_signature(signature);
	}
	return passing;
}

static bool is_stream(struct type *target)
{
	return (target->kind == TYPE_TYPEDEF && strcmp(target->name, "FILE") == 0) ||
	       (bare_type(target)->kind == TYPE_RECORD && same(bare_type(target)->name, "struct _IO_FILE"));
}

static struct passing *element(struct type *target, struct note *notes, const struct context *context,
			       enum direction direction)
{
	const struct note *each = find_note(notes, WORD_EACH);
	struct context inner = *context;

	inner.role = ELEMENT;
	inner.direction = direction;
	inner.depth++;
	return pass(target, each ? each->inner : NULL, &inner);
}

static bool is_constant(struct type *type)
{
	while (!type->is_const && bare_type(type)->kind == TYPE_ARRAY)
		type = bare_type(type)->target;
	return type->is_const;
}

static enum direction direction_of(struct type *type, struct type *target, struct note *notes,
				   const struct note *extent, const struct context *context)
{
	if (said(type, notes, WORD_IN))
		return DIRECTION_IN;
	if (said(type, notes, WORD_OUT))
		return DIRECTION_OUT;
	if (said(type, notes, WORD_INOUT))
		return DIRECTION_INOUT;
	if (context->role == RESULT)
		return DIRECTION_OUT;
	if (extent &&
	    (extent->word == WORD_COUNT_OUT || extent->word == WORD_SIZE_OUT || extent->word == WORD_STRING_OUT))
		return DIRECTION_OUT;
	if (context->role == ELEMENT)
		return context->direction;
	if (is_constant(target))
		return DIRECTION_IN;
	if (context->role == FIELD)
		return DIRECTION_INOUT; /* as its struct goes */
	return DIRECTION_NONE;
}

static struct passing *pass_data(struct type *type, struct type *target, struct note *notes, const char *length,
				 const struct context *context)
{
	const struct note *extent = first_of(type, notes, extents, N(extents));
	const struct note *lifetime = first_of(type, notes, lifetimes, N(lifetimes));
	const bool words = extent || lifetime || said(type, notes, WORD_IN) || said(type, notes, WORD_OUT) ||
			   said(type, notes, WORD_INOUT) || said(type, notes, WORD_EACH) ||
			   said(type, notes, WORD_COPY) || said(type, notes, WORD_GRAPH) ||
			   said(type, notes, WORD_ONLY);
	enum direction direction = direction_of(type, target, notes, extent, context);
	struct type *bare = bare_type(target);
	struct passing *passing, *doubted = NULL;

	if (!extent && !length && (bare->kind == TYPE_VOID || is_character(target)))
		return ask(type, target, context, "how much it points to");
	if (direction == DIRECTION_NONE)
		return ask(type, target, context, "whether that goes in or comes out");
	if (context->role == RESULT && !lifetime)
		return ask(type, target, context, "who frees what it points to, or how long it lives");
	if (bare->kind == TYPE_RECORD && !bare->record->is_complete && !extent)
		return refuse(NULL, format("%s points to an incomplete type: nobody here knows how large it is",
					   name_of(context)));
	if (!words && !length && context->role != RESULT) {
		doubted = doubt(type, target, context);
		if (doubted && is_surely_more(type, target, context))
			return doubted;
	}
	passing = new_passing(PASS_DATA, words || extent ? WRITTEN : INFERRED, NULL);
	if (doubted) {
		passing->doubt = doubted->because;
		passing->write = doubted->write;
	}
	passing->direction = direction;
	passing->extent = extent;
	passing->lifetime = lifetime;
	passing->length = length;
	if (passing->origin == INFERRED)
		passing->because =
			length ? format("[%s] says how many", length) : "a pointer to const: one element, in";
	passing->each = element(target, notes, context, direction);
	if (passing->each->kind == PASS_REFUSED)
		return passing->each;
	return passing;
}

static struct passing *pass_incomplete(struct record *record, const struct note *lifetime,
				       const struct context *context)
{
	struct passing *passing;

	if (header_of(record))
		return refuse(format("#include <%s>", header_of(record)),
			      format("%s is no handle, but '%s' is incomplete here", name_of(context), record->name));
	passing = new_passing(PASS_HANDLE, INFERRED, "it points to an incomplete type");
	passing->lifetime = lifetime;
	return passing;
}

static struct passing *with(struct passing *passing, const struct note *lifetime)
{
	passing->lifetime = lifetime;
	return passing;
}

static struct passing *pass_pointer(struct type *type, struct note *notes, const struct context *context)
{
	struct type *bare = bare_type(type), *target = bare->target, *what = bare_type(target);
	const struct note *lifetime = first_of(type, notes, lifetimes, N(lifetimes));
	const bool has_data_words = first_of(type, notes, extents, N(extents)) || find_note(notes, WORD_EACH) ||
				    said(type, notes, WORD_IN) || said(type, notes, WORD_OUT) ||
				    said(type, notes, WORD_INOUT);
	const char *length = NULL;

	if (bare->kind == TYPE_OPEN_ARRAY)
		length = bare->length;
	else if (bare->kind == TYPE_ARRAY)
		length = format("%llu", (unsigned long long)bare->count);

	if (lifetime && lifetime->word == WORD_CONSUMES && !has_data_words && context->role == PARAMETER &&
	    context->function && frees_results(context->service, context->function->name))
		return new_passing(PASS_FREED, WRITTEN, "VMRPC_CONSUMES");
	if (said(type, notes, WORD_SHARED))
		return new_passing(PASS_SHARED, WRITTEN, "VMRPC_SHARED");
	if (said(type, notes, WORD_USERDATA))
		return with(new_passing(PASS_USERDATA, WRITTEN, "VMRPC_USERDATA"), lifetime);
	if (said(type, notes, WORD_SCRATCH))
		return new_passing(PASS_SCRATCH, WRITTEN, "VMRPC_SCRATCH");
	if (said(type, notes, WORD_INTO))
		return new_passing(PASS_INTO, WRITTEN, "VMRPC_INTO");
	if (said(type, notes, WORD_OPENS) || (said(type, notes, WORD_OBJECT) && context->role != RESULT))
		return with(new_passing(PASS_OBJECT, WRITTEN, "VMRPC_OBJECT"), lifetime);
	if (said(type, notes, WORD_HANDLE) || said(type, notes, WORD_OBJECT))
		return with(new_passing(PASS_HANDLE, WRITTEN, "VMRPC_HANDLE"), lifetime);
	if (what->kind == TYPE_FUNCTION)
		return pass_callback(type, notes, context);
	if (is_stream(target) && !has_data_words)
		return with(new_passing(PASS_STREAM, INFERRED, "a FILE stays at the caller"), lifetime);
	if (what->kind == TYPE_RECORD && !what->record->is_complete && !has_data_words)
		return pass_incomplete(what->record, lifetime, context);
	if (what->kind == TYPE_RECORD && what->record->is_inferring && !has_data_words && context->role == FIELD) {
		struct passing *passing =
			new_passing(PASS_DATA, INFERRED, "it points to its own kind, and is followed");

		passing->direction = DIRECTION_INOUT;
		passing->each = new_passing(PASS_RECORD, INFERRED, "");
		return passing;
	}
	if (what->kind == TYPE_POINTER && !has_data_words && !length)
		return ask(type, target, context, "what it points to");
	return pass_data(type, target, notes, length, context);
}

static struct passing *pass_record(struct type *type, struct note *notes, const struct context *context)
{
	struct record *record = type->record;

	(void)notes;
	if (!record->is_complete)
		return refuse(NULL, format("%s is of an incomplete type", name_of(context)));
	if (record->n_fields && bare_type(record->fields[record->n_fields - 1]->type)->kind == TYPE_OPEN_ARRAY &&
	    (context->role == PARAMETER || context->role == RESULT))
		return refuse("a pointer to it, with VMRPC_SIZE(n)",
			      format("%s is '%s' by value, whose last member has no length in C", name_of(context),
				     type_text(type)));
	if (record->size == 0)
		return refuse(NULL, format("%s is '%s', which is empty: C and C++ disagree about its size",
					   name_of(context), type_text(type)));
	infer_record(record);
	if (record->has_atomics && (context->role == PARAMETER || context->role == RESULT))
		return refuse(
			"a pointer to it, VMRPC_SHARED",
			format("%s is '%s' by value, which holds atomics: they mean something only where they are",
			       name_of(context), type_text(type)));
	return new_passing(PASS_RECORD, INFERRED, "by value");
}

static struct passing *pass(struct type *type, struct note *notes, const struct context *context)
{
	struct type *bare = bare_type(type);
	struct passing *passing;

	if (find_note(notes, WORD_SKIP))
		return new_passing(PASS_SKIPPED, WRITTEN, "VMRPC_SKIP: the callee sees zero");
	switch (bare->kind) {
	case TYPE_VOID:
		return new_passing(PASS_VOID, INFERRED, "");
	case TYPE_BOOL:
	case TYPE_INT:
	case TYPE_ENUM:
	case TYPE_FLOAT:
	case TYPE_COMPLEX:
		if (said(type, notes, WORD_FD))
			return new_passing(PASS_DESCRIPTOR, WRITTEN, "VMRPC_FD");
		if (said(type, notes, WORD_HANDLE))
			return new_passing(PASS_HANDLE, WRITTEN, "VMRPC_HANDLE");
		if (said(type, notes, WORD_USERDATA))
			return new_passing(PASS_USERDATA, WRITTEN, "VMRPC_USERDATA");
		return new_passing(PASS_VALUE, INFERRED, "by value");
	case TYPE_RECORD:
		return pass_record(bare, notes, context);
	case TYPE_ARRAY:
		if (context->role == FIELD || context->role == ELEMENT) {
			struct context inner = *context;

			passing = new_passing(PASS_ARRAY, INFERRED, "by value");
			inner.depth++;
			passing->each = pass(bare->target, notes, &inner);
			return passing->each->kind == PASS_REFUSED ? passing->each : passing;
		}
		break;
	case TYPE_OPEN_ARRAY:
		if (context->role == FIELD) {
			if (!first_of(type, notes, extents, N(extents)))
				return refuse(format("%s VMRPC_COUNT(n)", declaration(type, context->value->name)),
					      format("'%s' has no length in C", context->value->name));
			passing = new_passing(PASS_ARRAY, WRITTEN, NULL);
			passing->extent = first_of(type, notes, extents, N(extents));
			passing->each = element(bare->target, notes, context, DIRECTION_INOUT);
			return passing;
		}
		break;
	case TYPE_FUNCTION:
		return pass_callback(type, notes, context);
	case TYPE_POINTER:
		break;
	case TYPE_ATOMIC:
		return refuse("its value", format("%s is atomic: that means something only in memory both sides see",
						  name_of(context)));
	case TYPE_VA_LIST:
		return refuse("VMRPC_SKIP, and by hand a function that formats first",
			      format("%s is a va_list, which only its own process can read", name_of(context)));
	case TYPE_VECTOR:
		return refuse("a struct that holds it",
			      format("%s is '%s', a vector, which compilers pass in different ways", name_of(context),
				     type_text(type)));
	default:
		return refuse("VMRPC_SKIP", format("%s is '%s', a type that vmrpcgen does not know", name_of(context),
						   type_text(type)));
	}
	if (context->depth > 16)
		return refuse(NULL, format("%s has too many levels", name_of(context)));
	passing = pass_pointer(type, notes, context);
	passing->nonnull |= said(type, notes, WORD_NONNULL) != NULL || bare->is_static;
	return passing;
}

static bool holds_pointers(const struct passing *passing, struct type *type)
{
	type = bare_type(type);
	switch (passing->kind) {
	case PASS_VALUE:
	case PASS_VOID:
		return false;
	case PASS_RECORD:
		return type->kind == TYPE_RECORD && type->record->has_pointers;
	case PASS_ARRAY:
		return !passing->each || passing->extent || holds_pointers(passing->each, type->target);
	default:
		return true;
	}
}

static void infer_record(struct record *record)
{
	if (record->is_inferred || record->is_inferring)
		return;
	record->is_inferring = true;
	for (unsigned i = 0; i < record->n_fields; i++) {
		struct value *field = record->fields[i];
		struct type *inner = bare_type(field->type);

		if (!*field->name && field->bits >= 0)
			continue; /* unnamed bits are padding */
		while (inner->kind == TYPE_ARRAY)
			inner = bare_type(inner->target);
		if (inner->kind == TYPE_ATOMIC)
			record->has_atomics = true;
		field->passing = inner->kind == TYPE_ATOMIC ? new_passing(PASS_VALUE, INFERRED, "in place")
							    : infer_value(field, NULL, FIELD);
		if (inner->kind == TYPE_RECORD)
			record->has_atomics |= inner->record->has_atomics;
		record->has_pointers |= holds_pointers(field->passing, field->type);
	}
	record->is_inferring = false;
	record->is_inferred = true;
}

static struct passing *infer_in(const struct context *context)
{
	struct value *value = context->value;
	struct note *when = find_note(value->notes, WORD_WHEN);
	struct passing *passing = pass(value->type, value->notes, context);

	/* What only depends on a condition: the first alternative stands for all in --explain. */
	if (when && passing->kind == PASS_REFUSED)
		passing = pass(value->type, when->inner, context);
	passing->conditional = when != NULL;
	return passing;
}

/* within: the signature of which it is a parameter; NULL for results and fields. */
static struct passing *infer_value(struct value *value, struct signature *within, enum role role)
{
	const struct context context = {.role = role, .value = value, .within = within};

	return infer_in(&context);
}

static struct passing *infer_param(struct value *value, struct signature *within, const struct function *function,
				   const struct service *service)
{
	const struct context context = {
		.role = PARAMETER, .value = value, .within = within, .function = function, .service = service};

	return infer_in(&context);
}

/* Functions that return a T *, or store one in a T **, make objects of T, unless they say how long a value lives. */
static void find_makers(struct service *service)
{
	for (unsigned i = 0; i < service->n_functions; i++) {
		const struct function *function = service->functions[i];
		const struct signature *signature = function->signature;
		struct type *target = bare_type(signature->result->type)->target;
		bool takes_one = false;

		for (unsigned j = 0; j < signature->n_params; j++) {
			struct type *param = bare_type(signature->params[j]->type)->target;
			struct type *inner = param ? bare_type(param)->target : NULL;
			struct note *each = find_note(signature->params[j]->notes, WORD_EACH);

			takes_one |= param && target && !param->is_const && bare_type(param)->kind == TYPE_RECORD &&
				     bare_type(param)->record == bare_type(target)->record;
			if (inner && !inner->is_const && bare_type(inner)->kind == TYPE_RECORD &&
			    bare_type(param)->kind == TYPE_POINTER &&
			    !(each && first_of(param, each->inner, lifetimes, N(lifetimes))))
				bare_type(inner)->record->made_by = function->name;
		}
		if (target && !target->is_const && !takes_one && bare_type(target)->kind == TYPE_RECORD &&
		    !first_of(signature->result->type, function->notes, lifetimes, N(lifetimes)))
			bare_type(target)->record->made_by = function->name;
	}
}

void infer(struct service *service)
{
	find_makers(service);
	for (unsigned i = 0; i < service->n_functions; i++) {
		struct function *function = service->functions[i];
		struct signature *signature = function->signature;
		struct context context = {.role = RESULT, .value = signature->result};

		function->is_skipped = find_note(function->notes, WORD_SKIP) != NULL;
		for (unsigned j = 0; j < signature->n_params; j++)
			signature->params[j]->passing =
				function->is_skipped
					? new_passing(PASS_SKIPPED, WRITTEN, "VMRPC_SKIP: the stub only fails")
					: infer_param(signature->params[j], signature, function, service);
		signature->result->notes = function->notes;
		signature->result->passing =
			pass(signature->result->type, find_note(function->notes, WORD_SKIP) ? NULL : function->notes,
			     &context);
	}
}
