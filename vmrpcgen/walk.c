/* Finds every place where words may stand: functions, parameters, those of callbacks, fields, types. */
#include "stages.h"

static void (*visit_site)(const struct service *service, const struct site *site);
static const struct service *walking;
static unsigned mark;

static void walk_signature(struct signature *signature, struct function *function);
static void walk_type(struct type *type);

static void walk_value(struct value *value, struct site site)
{
	site.notes = value->notes;
	site.value = value;
	site.type = value->type;
	visit_site(walking, &site);
	if (value->signature)
		walk_signature(value->signature, NULL);
	walk_type(value->type);
}

static void walk_record(struct record *record)
{
	if (record->mark == mark)
		return;
	record->mark = mark;
	visit_site(walking, &(struct site){.notes = record->notes,
					   .places = ON_TYPE,
					   .record = record,
					   .what = format("'%s'", record->name ? record->name : "an unnamed type")});
	for (unsigned i = 0; record->is_inferred && i < record->n_fields; i++)
		walk_value(record->fields[i], (struct site){.places = ON_FIELD | (record->is_union ? ON_MEMBER : 0),
							    .record = record,
							    .what = format("field '%s'", record->fields[i]->name)});
}

static void walk_type(struct type *type)
{
	for (; type; type = type->target) {
		if (type->kind == TYPE_RECORD)
			walk_record(type->record);
		if (type->kind == TYPE_FUNCTION)
			return;
	}
}

static void walk_signature(struct signature *signature, struct function *function)
{
	for (unsigned i = 0; i < signature->n_params; i++)
		walk_value(signature->params[i],
			   (struct site){.places = ON_PARAMETER,
					 .function = function,
					 .signature = signature,
					 .what = format("parameter '%s'", signature->params[i]->name)});
}

void walk(struct service *service, void (*visit)(const struct service *service, const struct site *site))
{
	visit_site = visit;
	walking = service;
	mark++;
	for (unsigned i = 0; i < service->n_functions; i++) {
		struct function *function = service->functions[i];

		visit(service, &(struct site){.notes = function->notes,
					      .places = ON_FUNCTION | ON_RESULT,
					      .value = function->signature->result,
					      .type = function->signature->result->type,
					      .function = function,
					      .signature = function->signature,
					      .what = format("function '%s'", function->name)});
		walk_signature(function->signature, function);
		walk_type(function->signature->result->type);
	}
	for (unsigned i = 0; i < service->n_aliases; i++) {
		struct alias *alias = service->aliases[i];

		if (alias->value.notes)
			visit(service, &(struct site){.notes = alias->value.notes,
						      .places = ON_TYPE,
						      .value = &alias->value,
						      .type = alias->value.type,
						      .what = format("typedef '%s'", alias->value.name)});
		if (alias->value.signature && alias->value.signature->result->passing)
			walk_signature(alias->value.signature, NULL);
	}
}
