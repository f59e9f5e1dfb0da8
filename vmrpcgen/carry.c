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

static bool is_carried(const struct passing *passing, struct type *type)
{
	type = bare_type(type);
	return passing->kind == PASS_VALUE || passing->kind == PASS_VOID || passing->kind == PASS_SKIPPED ||
	       (passing->kind == PASS_RECORD && type->kind == TYPE_RECORD && !type->record->has_pointers);
}

static void carry_value(const struct function *function, const struct value *value, const char *what)
{
	if (is_carried(value->passing, value->type) || value->passing->kind == PASS_REFUSED)
		return;
	error(value->at, INSTEAD, "%s of '%s' is not carried yet (%s%s)", what, function->name,
	      value->passing->kind == PASS_RECORD ? "a struct with pointers in it" : kinds[value->passing->kind],
	      value->passing->kind == PASS_DATA ? format(", %s", passing_text(value->passing, value->type)) : "");
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
				    format("parameter '%s'", function->signature->params[j]->name));
		carry_value(function, function->signature->result, "the result");
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
