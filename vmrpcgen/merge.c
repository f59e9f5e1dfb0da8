/* Words about things declared elsewhere find their place: VMRPC_SERVICE, VMRPC_FIELD, VMRPC_TYPE, VMRPC_DEFAULT_FAIL.
 */
#include <string.h>

#include "stages.h"

static struct record *record_behind(struct type *type)
{
	type = bare_type(type);
	if (type->kind == TYPE_POINTER)
		type = bare_type(type->target);
	return type->kind == TYPE_RECORD ? type->record : NULL;
}

static struct value *field_named(struct record *record, const char *name)
{
	for (unsigned i = 0; i < record->n_fields; i++)
		if (strcmp(record->fields[i]->name, name) == 0)
			return record->fields[i];
	/* members of anonymous members are found as in C */
	for (unsigned i = 0; i < record->n_fields; i++) {
		struct record *inner = *record->fields[i]->name ? NULL : record_behind(record->fields[i]->type);
		struct value *field = inner ? field_named(inner, name) : NULL;

		if (field)
			return field;
	}
	return NULL;
}

static struct value *field_at(struct record *record, const char *path)
{
	struct value *field = NULL;

	while (record) {
		size_t length = strcspn(path, ".");

		field = field_named(record, copy_of(path, length));
		if (!field || !path[length])
			return field;
		path += length + 1;
		record = record_behind(field->type);
	}
	return NULL;
}

static void merge_field(const struct note *note)
{
	struct record *record = record_behind(note->type);
	const char *path = note->n_args ? note->args[0] : "";
	struct value *field;

	if (!record || !record->is_complete) {
		error(note->at, NULL, "'%s' in VMRPC_FIELD is no complete struct or union", type_text(note->type));
		return;
	}
	field = field_at(record, path);
	if (!field) {
		error(note->at, NULL, "%s has no field '%s'", type_text(note->type), path);
		return;
	}
	add_notes(&field->notes, note->inner);
	if (note->shape)
		field->signature = note->shape;
}

static void merge_type(const struct note *note)
{
	struct type *type = note->type;

	if (type->kind == TYPE_TYPEDEF)
		add_notes(&type->alias->value.notes, note->inner);
	else if (record_behind(type))
		add_notes(&record_behind(type)->notes, note->inner);
	else
		error(note->at, NULL, "'%s' in VMRPC_TYPE is no struct, union or typedef", type_text(type));
}

static void merge_service(struct service *service, struct note *note)
{
	int64_t number[2] = {0, 0};

	resolve_notes(note);
	for (unsigned i = 0; i < 2 && i + 1 < note->n_args; i++) {
		struct expr *expr = note->exprs[i + 1];

		if (expr && (!constant_value(expr, &number[i]) || number[i] < 0 || number[i] > UINT32_MAX))
			error(note->at, NULL, "'%s' in VMRPC_SERVICE is no version number", note->args[i + 1]);
	}
	if (service->at.line && !same(service->name, note->args[0]))
		error(note->at, NULL, "this is service '%s', but %s:%u says '%s': one service for each vmrpcgen",
		      note->args[0], service->at.file, service->at.line, service->name);
	service->name = note->args[0];
	service->at = note->at;
	service->major = (uint64_t)number[0];
	service->minor = (uint64_t)number[1];
}

/* The names that VMRPC_SERVICE uses must be known before merge(). */
void gather_directives(struct service *service)
{
	for (struct note *note = service->directives; note; note = note->next)
		if (note->word == WORD_SERVICE) {
			for (unsigned i = 1; i < note->n_args; i++)
				if (is_identifier(note->args[i]) && !find_constant(note->args[i]))
					want_constant(note->args[i]);
		}
}

void merge(struct service *service)
{
	struct note *next;

	for (struct note *note = service->directives; note; note = next) {
		next = note->next;
		note->next = NULL;
		switch (note->word) {
		case WORD_SERVICE:
			merge_service(service, note);
			break;
		case WORD_FIELD:
			merge_field(note);
			break;
		case WORD_TYPE:
			merge_type(note);
			break;
		case WORD_DEFAULT_FAIL:
			add_notes(&service->fail_defaults, note);
			break;
		default:
			break;
		}
	}
	service->directives = NULL;
}
