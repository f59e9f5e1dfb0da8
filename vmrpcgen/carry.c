/* What calls can carry today. The front end understands more: what is missing is said here, function by function. */
#include "stages.h"

static const char *const kinds[] = {
	[PASS_VALUE] = "a value",
	[PASS_RECORD] = "a struct",
	[PASS_ARRAY] = "an array",
	[PASS_DATA] = "data behind a pointer",
	[PASS_HANDLE] = "a handle",
	[PASS_CALLBACK] = "a callback",
	[PASS_USERDATA] = "user data",
	[PASS_STREAM] = "a stream",
	[PASS_OBJECT] = "an object of the caller",
	[PASS_SHARED] = "a shared address",
	[PASS_SCRATCH] = "scratch memory",
	[PASS_INTO] = "a pointer into another argument",
	[PASS_DESCRIPTOR] = "a file descriptor",
	[PASS_SKIPPED] = "skipped",
	[PASS_FREED] = "memory the caller frees",
	[PASS_REFUSED] = "refused",
	[PASS_VOID] = "nothing",
};

#define INSTEAD "VMRPC_SKIP on the function for now, and one written by hand"

/* "in, n elements" */
const char *passing_text(const struct passing *passing, struct type *type)
{
	struct text text = {0};
	struct type *bare = bare_type(type);

	switch (passing->kind) {
	case PASS_DATA:
		add(&text, "%s",
		    passing->direction == DIRECTION_IN	  ? "in"
		    : passing->direction == DIRECTION_OUT ? "out"
							  : "in and out");
		if (passing->extent)
			add(&text, ", %s", note_text(passing->extent));
		else
			add(&text, ", %s element%s", passing->length ? passing->length : "one",
			    passing->length ? "s" : "");
		if (passing->each && bare->target && passing->each->kind != PASS_VALUE &&
		    passing->each->kind != PASS_VOID)
			add(&text, ", each %s", kinds[passing->each->kind]);
		break;
	case PASS_RECORD:
		add(&text, "%s by value", bare->kind == TYPE_RECORD && bare->record->is_union ? "a union" : "a struct");
		break;
	case PASS_VALUE:
		add(&text, "by value");
		break;
	default:
		add(&text, "%s", kinds[passing->kind]);
	}
	if (passing->lifetime)
		add(&text, ", %s", note_text(passing->lifetime));
	if (passing->nonnull)
		add(&text, ", never NULL");
	if (passing->conditional)
		add(&text, ", depending on a condition");
	return text.string;
}

static const char *why_not_data(const struct passing *passing, struct type *type, struct note *notes, bool is_result);

static const char *why_not_field(const struct value *field)
{
	const struct passing *passing = field->passing;
	struct type *type = bare_type(field->type);
	const char *why;

	while (passing && passing->kind == PASS_ARRAY && passing->each && !passing->extent) {
		passing = passing->each;
		type = bare_type(type->target);
	}
	if (!passing || passing->kind == PASS_VALUE || passing->kind == PASS_VOID)
		return NULL;
	if (find_note(field->notes, WORD_WHEN))
		return "VMRPC_WHEN";
	switch (passing->kind) {
	case PASS_RECORD:
		if (!type->record->has_pointers)
			return NULL;
		if (type->record->is_union && !find_note(field->notes, WORD_SWITCH))
			return "a union with pointers and no VMRPC_SWITCH";
		for (unsigned i = 0; i < type->record->n_fields; i++)
			if ((why = why_not_field(type->record->fields[i])))
				return why;
		return NULL;
	case PASS_SKIPPED:
		return type->kind == TYPE_POINTER ? NULL : "VMRPC_SKIP on what is no pointer";
	case PASS_HANDLE:
		return type->kind != TYPE_POINTER ? "a handle that is a number"
		       : passing->lifetime	  ? note_text(passing->lifetime)
						  : NULL;
	case PASS_DATA:
		return passing->lifetime ? note_text(passing->lifetime)
					 : why_not_data(passing, type, field->notes, false);
	default:
		return kinds[passing->kind];
	}
}

/* Why a struct that is reached through a pointer can't be; NULL: it can. */
static const char *why_not_record(struct record *record)
{
	const char *why = NULL;

	if (record->why_not)
		return *record->why_not ? record->why_not : NULL;
	record->why_not = "";
	if (record->is_union)
		why = "a union with pointers";
	for (unsigned i = 0; i < record->n_fields && !why; i++) {
		why = why_not_field(record->fields[i]);
		if (why)
			why = format("field '%s' of '%s': %s", record->fields[i]->name,
				     record->name ? record->name : "an unnamed struct", why);
	}
	record->why_not = why ? why : "";
	return why;
}

/* Why data behind a pointer can't be carried; NULL: it can. */
static const char *why_not_data(const struct passing *passing, struct type *type, struct note *notes, bool is_result)
{
	struct type *target = bare_type(type)->target;
	const struct passing *each = passing->each;
	const enum word lifetime = passing->lifetime ? passing->lifetime->word : N_WORDS;
	const enum word extent = passing->extent ? passing->extent->word : N_WORDS;

	if (find_note(notes, WORD_ONLY) || find_note(notes, WORD_UNCHECKED))
		return "a word about it";
	if (each && each->kind == PASS_RECORD && bare_type(target)->kind == TYPE_RECORD &&
	    bare_type(target)->record->has_pointers) {
		if (is_result)
			return "a struct with pointers in it";
		if (why_not_record(bare_type(target)->record))
			return why_not_record(bare_type(target)->record);
	}
	if (each && each->kind == PASS_DATA) {
		const struct note *words = find_note(notes, WORD_EACH);
		const char *why;

		if (is_result)
			return "pointers behind a pointer, as a result";
		if (each->lifetime && each->lifetime->word == WORD_BORROWED && (passing->extent || passing->length))
			return "an array of VMRPC_BORROWED";
		if (each->lifetime && each->direction != DIRECTION_OUT)
			return note_text(each->lifetime);
		why = why_not_data(each, target, words ? words->inner : NULL,
				   each->direction == DIRECTION_OUT && each->lifetime);
		if (why)
			return why;
	}
	if (each && each->kind == PASS_HANDLE && bare_type(target)->kind != TYPE_POINTER)
		return "handles that are numbers";
	if (each && each->kind != PASS_VALUE && each->kind != PASS_VOID && each->kind != PASS_RECORD &&
	    each->kind != PASS_HANDLE && each->kind != PASS_DATA && !(each->kind == PASS_ARRAY && !each->extent))
		return kinds[each->kind];
	if (!is_result)
		return passing->lifetime ? note_text(passing->lifetime) : NULL;
	if (lifetime != WORD_BORROWED && lifetime != WORD_STATIC && lifetime != WORD_CALLER_FREES)
		return passing->lifetime ? note_text(passing->lifetime) : "how long it lives";
	if (extent == WORD_END || extent == WORD_RANGE)
		return note_text(passing->extent);
	return each && each->kind == PASS_HANDLE ? "an array of handles as a result" : NULL;
}

/* Why a value can't be carried yet; NULL: it can. */
static const char *why_not(const struct passing *passing, struct type *type, struct note *notes, bool is_result)
{
	struct type *bare = bare_type(type);
	const enum word lifetime = passing->lifetime ? passing->lifetime->word : N_WORDS;

	if (passing->conditional)
		return "VMRPC_WHEN";
	switch (passing->kind) {
	case PASS_VALUE:
	case PASS_VOID:
	case PASS_SKIPPED:
	case PASS_FREED:
		return NULL;
	case PASS_RECORD:
		return bare->kind == TYPE_RECORD && !bare->record->has_pointers ? NULL : "a struct with pointers in it";
	case PASS_DATA:
		return why_not_data(passing, type, notes, is_result);
	case PASS_HANDLE:
		if (bare->kind != TYPE_POINTER && (!is_integer(bare) || (bare->size != 4 && bare->size != 8)))
			return "a handle that is a small number";
		if (passing->lifetime && lifetime != WORD_BORROWED && lifetime != WORD_LIVES_WITH)
			return note_text(passing->lifetime);
		return NULL;
	case PASS_SHARED:
	case PASS_INTO:
		return NULL;
	case PASS_SCRATCH:
		return is_result ? kinds[PASS_SCRATCH] : NULL;
	default:
		return kinds[passing->kind];
	}
}

static bool is_deep(const struct passing *passing, struct type *type)
{
	struct type *bare = bare_type(type);

	return passing->kind == PASS_DATA && passing->each &&
	       (passing->each->kind == PASS_DATA ||
		(passing->each->kind == PASS_RECORD && bare_type(bare->target)->kind == TYPE_RECORD &&
		 bare_type(bare->target)->record->has_pointers));
}

static void carry_value(const struct function *function, const struct value *value, const char *what, bool is_result)
{
	const struct passing *passing = value->passing;
	const char *why;

	if (passing->kind == PASS_REFUSED)
		return;
	why = why_not(passing, value->type, value->notes, is_result);
	if (!why && find_note(function->notes, WORD_ASYNC) && is_deep(passing, value->type))
		why = "pointers behind a pointer, in a call that does not wait";
	if (why)
		error(value->at, INSTEAD, "%s of '%s' is not carried yet (%s%s)", what, function->name, why,
		      passing->kind == PASS_DATA ? format(", %s", passing_text(passing, value->type)) : "");
	else if (passing->kind == PASS_DATA && !is_result && passing->direction == DIRECTION_OUT && passing->extent &&
		 (passing->extent->word == WORD_STRING || passing->extent->word == WORD_TERMINATED))
		error(value->at, "VMRPC_STRING_OUT(n), with the room that is there",
		      "%s of '%s' is written to, and nothing says how much room there is", what, function->name);
}

void carry(struct service *service)
{
	for (unsigned i = 0; i < service->n_functions; i++) {
		const struct function *function = service->functions[i];
		const struct note *note;

		if (function->is_skipped)
			continue;
		for (unsigned j = 0; j < function->signature->n_params; j++)
			carry_value(function, function->signature->params[j],
				    format("parameter '%s'", function->signature->params[j]->name), false);
		carry_value(function, function->signature->result, "the result", true);
		note = find_note(function->notes, WORD_VA_FORMAT);
		if (note)
			error(note->at, INSTEAD, "'...' of '%s' is not carried yet (arguments of a format)",
			      function->name);
	}
	for (unsigned i = 0; i < service->n_objects; i++)
		for (unsigned j = 0; j < service->n_headers; j++)
			if (service->headers[j].is_sidecar &&
			    same(service->objects[i]->at.file, service->headers[j].path)) {
				if (service->objects[i]->type->is_const)
					error(service->objects[i]->at, NULL, "the object '%s' is not carried yet",
					      service->objects[i]->name);
				else
					error(service->objects[i]->at, "a function that returns it",
					      "the variable '%s' can't be carried: both sides could write it",
					      service->objects[i]->name);
			}
}
