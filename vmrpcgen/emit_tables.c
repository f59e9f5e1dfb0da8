/* Tables: every type, every field of it and of each frame, and what happens to those that are more than their bits. */
#include <string.h>

#include "stages.h"

/* ---- types, each once ---------------------------------------------------------------------------------------- */

struct entry {
	struct type *type;
	const char *text;
};

static struct entry *entries;
static unsigned n_entries;

static bool is_named_record(struct type *type)
{
	return type->kind == TYPE_RECORD && type->record->name;
}

/* Its number in the table, made if need be: what it is made of comes later, numbers suffice. */
static unsigned type_number(struct type *type)
{
	struct entry entry;

	type = bare_type(type);
	entry.type = type;
	entry.text = is_named_record(type) ? type->record->name : type_text(type);
	for (unsigned i = 0; i < n_entries; i++)
		if (entries[i].type == type ||
		    (type->kind != TYPE_RECORD && entries[i].type->kind == type->kind &&
		     strcmp(entries[i].text, entry.text) == 0) ||
		    (type->kind == TYPE_RECORD && entries[i].type->kind == TYPE_RECORD &&
		     entries[i].type->record == type->record))
			return i;
	APPEND(entries, n_entries, entry);
	return n_entries - 1;
}

static const char *type_reference(struct type *type)
{
	return format("&types[%u]", type_number(type));
}

static bool is_described_target(struct type *target)
{
	enum type_kind kind = bare_type(target)->kind;

	return kind != TYPE_FUNCTION && kind != TYPE_VOID && kind != TYPE_OTHER;
}

static const char *kind_text(const struct type *type)
{
	switch (type->kind) {
	case TYPE_VOID:
		return "VOID";
	case TYPE_BOOL:
		return "BOOL";
	case TYPE_INT:
	case TYPE_ENUM:
		return type->is_signed ? "SIGNED" : "UNSIGNED";
	case TYPE_FLOAT:
		return "FLOAT";
	case TYPE_COMPLEX:
		return "COMPLEX";
	case TYPE_POINTER:
	case TYPE_OPEN_ARRAY:
		return "POINTER";
	case TYPE_ARRAY:
		return "ARRAY";
	case TYPE_RECORD:
		return type->record->is_union ? "UNION" : "STRUCT";
	default:
		return "OTHER";
	}
}

static bool has_fields(const struct type *type)
{
	return type->kind == TYPE_RECORD && type->record->is_complete && type->record->n_fields;
}

static void emit_fields(struct text *out, unsigned number)
{
	const struct record *record = entries[number].type->record;

	add(out, "\n/* %s */\nstatic const struct vmrpc_field fields_%u[] = {\n", entries[number].text, number);
	for (unsigned i = 0; i < record->n_fields; i++) {
		const struct value *field = record->fields[i];

		if (!*field->name && field->bits >= 0)
			continue;
		add(out, "\t{.name = \"%s\", .type = %s, .offset = %llu, .bits = %d},\n", field->name,
		    type_reference(field->type), (unsigned long long)field->offset / (field->bits < 0 ? 8 : 1),
		    field->bits);
	}
	add(out, "};\n");
}

static void emit_type(struct text *out, unsigned number)
{
	struct type *type = entries[number].type;
	const bool pointer = type->kind == TYPE_POINTER || type->kind == TYPE_OPEN_ARRAY;

	add(out, "\t[%u] = {.kind = VMRPC_TYPE_%s, .name = \"%s\"", number, kind_text(type), entries[number].text);
	if (type->kind == TYPE_RECORD && type->record->is_complete)
		add(out, ", .size = %llu, .align = %llu", (unsigned long long)type->record->size,
		    (unsigned long long)type->record->align);
	else if (type->kind != TYPE_RECORD && type->size)
		add(out, ", .size = %llu, .align = %llu", pointer ? 8ull : (unsigned long long)type->size,
		    pointer ? 8ull : (unsigned long long)type->align);
	if ((pointer || type->kind == TYPE_ARRAY || type->kind == TYPE_COMPLEX) && type->target &&
	    is_described_target(type->target))
		add(out, ", .target = %s", type_reference(type->target));
	if (type->kind == TYPE_ARRAY)
		add(out, ", .count = %llu", (unsigned long long)type->count);
	if (has_fields(type))
		add(out, ", .fields = fields_%u, .n_fields = sizeof fields_%u / sizeof *fields_%u", number, number,
		    number);
	add(out, "},\n");
}

/* Numbers everything that frames reach, so that the table can be declared before it is filled. */
static void number_types(const struct service *service)
{
	n_entries = 0;
	for (unsigned i = 0; i < service->n_methods; i++) {
		const struct frame *frame = service->methods[i] ? service->methods[i]->frame : NULL;

		for (unsigned j = 0; frame && j < frame->n_slots; j++)
			if (frame->slots[j].value)
				type_number(frame->slots[j].value->type);
	}
	for (unsigned i = 0; i < n_entries; i++) { /* it grows meanwhile */
		struct type *type = entries[i].type;

		if (has_fields(type))
			for (unsigned j = 0; j < type->record->n_fields; j++)
				if (*type->record->fields[j]->name || type->record->fields[j]->bits < 0)
					type_number(type->record->fields[j]->type);
		if (type->kind != TYPE_RECORD && type->target && is_described_target(type->target))
			type_number(type->target);
	}
}

/* ---- what happens to values -------------------------------------------------------------------------------------- */

static void emit_code(struct text *out, const struct plan *plan, const char *what, const struct code *code)
{
	if (!code)
		return;
	add(out, "static const int64_t %s_%s[] = {", plan->name, what);
	for (unsigned i = 0; i < code->n; i++)
		add(out, "%s%s", i ? ", " : "", code->words[i]);
	add(out, "};\n");
}

static const char *pass_flags(const struct plan *plan, bool is_result)
{
	const bool is_string = same(plan->extent, "STRING") || same(plan->extent, "STRING_MAX");
	struct text text = {0};

	if (plan->nonnull)
		add(&text, " | VMRPC_PASS_NONNULL");
	if ((plan->is_looked_at || is_string || plan->copy) && !is_result && strcmp(plan->kind, "DATA") == 0)
		add(&text, " | VMRPC_PASS_SNAPSHOT");
	if (plan->copy)
		add(&text, " | VMRPC_PASS_COPY");
	if (plan->closes)
		add(&text, " | VMRPC_PASS_CLOSES");
	if (plan->number)
		add(&text, " | VMRPC_PASS_NUMBER");
	if (plan->borrowed)
		add(&text, " | VMRPC_PASS_BORROWED");
	return text.length ? text.string + 3 : NULL;
}

static void emit_closer(struct text *out, const char *name, const struct handle_type *handle, const char *close)
{
	add(out, "static void %s(void *object)\n{\n", name);
	add(out, "\t%s = (%s)%sobject;\n\n", plain_declaration(handle->type, "self"), type_text(handle->type),
	    bare_type(handle->type)->kind == TYPE_POINTER ? "" : "(intptr_t)");
	if (strchr(close, '('))
		add(out, "\t%s;\n}\n", close);
	else
		add(out, "\t%s(self);\n}\n", close);
}

static void emit_releaser(struct text *out, const struct plan *plan)
{
	struct type target = *plan->element; /* free() takes no pointer to const */

	target.is_const = false;
	add(out, "static void %s_release(void *memory)\n{\n\t%s((%s)memory);\n}\n", plan->name, plan->release,
	    type_text(&(struct type){.kind = TYPE_POINTER, .target = &target}));
}

static void emit_plan(struct text *out, const struct function *function, const struct plan *plan, bool serves,
		      bool is_result)
{
	const char *flags = pass_flags(plan, is_result);
	static const char *const directions[] = {NULL, "VMRPC_GOES_IN", "VMRPC_GOES_OUT",
						 "VMRPC_GOES_IN | VMRPC_GOES_OUT"};

	if (plan->each)
		emit_plan(out, function, plan->each, serves, is_result);
	emit_code(out, plan, "before", plan->before);
	emit_code(out, plan, "after", plan->after);
	emit_code(out, plan, "condition", plan->condition);
	if (serves && plan->close)
		emit_closer(out, format("%s_close", plan->name), plan->handle, plan->close);
	if (serves && plan->release)
		emit_releaser(out, plan);
	add(out, "static const struct vmrpc_pass %s_pass = {.kind = VMRPC_PASS_%s", plan->name, plan->kind);
	if (directions[plan->direction])
		add(out, ", .direction = %s", directions[plan->direction]);
	if (plan->extent && strcmp(plan->extent, "ONE") != 0)
		add(out, ", .extent = VMRPC_EXTENT_%s", plan->extent);
	if (plan->lifetime)
		add(out, ", .lifetime = VMRPC_LIVES_%s", plan->lifetime);
	if (flags)
		add(out, ", .flags = %s", flags);
	if (plan->size)
		add(out, ", .size = %llu, .align = %llu", (unsigned long long)plan->size,
		    (unsigned long long)plan->align);
	if (plan->before)
		add(out, ", .before = %s_before", plan->name);
	if (plan->after)
		add(out, ", .after = %s_after", plan->name);
	if (plan->condition)
		add(out, ", .condition = %s_condition", plan->name);
	if (plan->handle)
		add(out, ", .handle = &handle_%s", plan->handle->id);
	if (serves && plan->close)
		add(out, ", .close = %s_close", plan->name);
	if (serves && plan->release)
		add(out, ", .release = %s_release", plan->name);
	if (plan->each)
		add(out, ", .each = &%s_pass", plan->each->name);
	if (plan->into)
		add(out, ", .into = %u", field_number(function->frame, plan->into));
	if (plan->parent)
		add(out, ", .parent = %u", field_number(function->frame, plan->parent) + 1);
	add(out, "};\n");
}

static void emit_handle(struct text *out, const struct handle_type *handle, bool serves)
{
	if (serves && handle->close)
		emit_closer(out, format("close_%s", handle->id), handle, handle->close);
	add(out, "static const struct vmrpc_handle_type handle_%s = {.name = \"%s\"", handle->id, handle->name);
	if (handle->object_size)
		add(out, ", .object_size = %llu", (unsigned long long)handle->object_size);
	if (serves && handle->close)
		add(out, ", .close = close_%s", handle->id);
	add(out, "};\n");
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static void emit_frame_tables(struct text *out, const struct function *function, bool serves)
{
	const struct frame *frame = function->frame;

	emit_origin(out, function);
	for (unsigned i = 0; i < frame->n_slots; i++)
		if (frame->slots[i].plan)
			emit_plan(out, function, frame->slots[i].plan, serves,
				  frame->slots[i].value == function->signature->result);
	if (frame->success) {
		const struct plan whole = {.name = function->name};

		emit_code(out, &whole, "success", frame->success);
	}
	add(out, "static const struct vmrpc_field fields_of_%s[] = {\n", function->name);
	for (unsigned i = 0; i < frame->n_slots; i++) {
		const struct slot *slot = &frame->slots[i];

		if (!slot->value)
			continue;
		add(out, "\t{.name = \"%s\", .type = %s, .offset = %llu, .bits = -1", slot->name,
		    type_reference(slot->value->type), (unsigned long long)slot->offset);
		if (slot->plan)
			add(out, ", .pass = &%s_pass", slot->plan->name);
		add(out, "},\n");
	}
	add(out, "};\n");
	add(out,
	    "static const struct vmrpc_type frame_type_%s = {.kind = VMRPC_TYPE_STRUCT, .name = \"struct frame_%s\", "
	    ".size = %llu, .align = 8, .fields = fields_of_%s, .n_fields = sizeof fields_of_%s / sizeof "
	    "*fields_of_%s};\n",
	    function->name, function->name, (unsigned long long)frame->size, function->name, function->name,
	    function->name);
	if (!frame->n_order)
		return;
	add(out, "static const uint16_t passes_of_%s[] = {", function->name);
	for (unsigned i = 0; i < frame->n_order; i++)
		add(out, "%s%u", i ? ", " : "", field_number(frame, frame->slots[frame->order[i]].value));
	add(out, "};\n");
}

static bool has_values(const struct frame *frame)
{
	for (unsigned i = 0; i < frame->n_slots; i++)
		if (frame->slots[i].value)
			return true;
	return false;
}

void emit_tables(struct text *out, const struct service *service, bool serves)
{
	number_types(service);
	if (!n_entries)
		return;
	add(out, "\n/* Types, as programs see them that know no header. */\n");
	add(out, "static const struct vmrpc_type types[%u];\n", n_entries);
	for (unsigned i = 0; i < n_entries; i++)
		if (has_fields(entries[i].type))
			emit_fields(out, i);
	add(out, "\nstatic const struct vmrpc_type types[%u] = {\n", n_entries);
	for (unsigned i = 0; i < n_entries; i++)
		emit_type(out, i);
	add(out, "};\n");
	if (service->n_handles)
		add(out, "\n/* Handles. */\n");
	for (unsigned i = 0; i < service->n_handles; i++)
		emit_handle(out, service->handles[i], serves);
	for (unsigned i = 0; i < service->n_methods; i++)
		if (service->methods[i] && has_values(service->methods[i]->frame))
			emit_frame_tables(out, service->methods[i], serves);
}

void emit_method_tables(struct text *out, const struct function *function)
{
	const struct frame *frame = function->frame;
	unsigned n_params = 0;

	for (unsigned i = 0; i < frame->n_slots; i++)
		n_params += frame->slots[i].value && frame->slots[i].value != function->signature->result;
	if (!has_values(frame))
		return;
	add(out, "\t\t.frame = &frame_type_%s,\n", function->name);
	if (n_params)
		add(out, "\t\t.n_params = %u,\n", n_params);
	if (frame->n_order)
		add(out, "\t\t.passes = passes_of_%s,\n\t\t.n_passes = sizeof passes_of_%s / sizeof *passes_of_%s,\n",
		    function->name, function->name, function->name);
	if (frame->success)
		add(out, "\t\t.success = %s_success,\n", function->name);
}
