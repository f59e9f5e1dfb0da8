/* Frames, and everything both sides must agree on, in words; a digest is made of the words. */
#include <string.h>

#include "stages.h"

static void set_bits(unsigned char *bytes, uint64_t first, uint64_t n)
{
	for (uint64_t bit = first; bit < first + n; bit++)
		bytes[bit / 8] |= (unsigned char)(1u << bit % 8);
}

static void mark_bits(unsigned char *bytes, uint64_t at, struct type *type, bool deep)
{
	type = bare_type(type);
	if (type->kind == TYPE_ARRAY) {
		uint64_t size = bare_type(type->target)->size;

		for (uint64_t i = 0; i < type->count; i++)
			mark_bits(bytes, at + i * size * 8, type->target, deep);
	} else if (type->kind == TYPE_RECORD && deep) {
		const struct record *record = type->record;

		for (unsigned i = 0; i < record->n_fields; i++) {
			const struct value *field = record->fields[i];

			if (field->bits < 0)
				mark_bits(bytes, at + field->offset, field->type, true);
			else if (*field->name)
				set_bits(bytes, at + field->offset, (uint64_t)field->bits);
		}
	} else if (type->kind == TYPE_COMPLEX && type->target) {
		mark_bits(bytes, at, type->target, deep);
		mark_bits(bytes, at + type->size * 4, type->target, deep);
	} else {
		set_bits(bytes, at, 8 * (type->filled ? type->filled : type->size));
	}
}

unsigned char *value_bits(struct type *type, bool deep)
{
	unsigned char *bytes = allocate(type->size + 16);
	const struct record *record;

	type = bare_type(type);
	if (type->kind != TYPE_RECORD || deep) {
		mark_bits(bytes, 0, type, true);
		return bytes;
	}
	record = type->record;
	for (unsigned i = 0; i < record->n_fields; i++) {
		const struct value *field = record->fields[i];

		/* of a union's members every one may be the one that counts */
		if (field->bits < 0)
			mark_bits(bytes, field->offset, field->type, record->is_union);
		else if (*field->name)
			set_bits(bytes, field->offset, (uint64_t)field->bits);
	}
	return bytes;
}

bool has_padding(struct type *type)
{
	unsigned char *bytes;

	type = bare_type(type);
	while (type->kind == TYPE_ARRAY)
		type = bare_type(type->target);
	if (type->kind != TYPE_RECORD)
		return false;
	bytes = value_bits(type, true);
	for (uint64_t i = 0; i < type->size; i++)
		if (bytes[i] != 0xff)
			return true;
	return false;
}

static void collect_records(struct service *service, struct type *type);

static void collect_field(struct service *service, const struct value *field)
{
	const struct passing *passing = field->passing;
	struct type *type = bare_type(field->type);

	for (; passing && passing->kind == PASS_ARRAY && passing->each; passing = passing->each)
		type = bare_type(type->target);
	for (; passing && passing->kind == PASS_DATA; passing = passing->each)
		type = bare_type(type->target);
	collect_records(service, type);
}

static void collect_records(struct service *service, struct type *type)
{
	struct record *record;

	type = bare_type(type);
	while (type->kind == TYPE_ARRAY)
		type = bare_type(type->target);
	if (type->kind != TYPE_RECORD || type->record->number)
		return;
	record = type->record;
	record->number = UINT32_MAX; /* until its turn comes */
	for (unsigned i = 0; i < record->n_fields; i++)
		collect_field(service, record->fields[i]);
	APPEND(service->carried, service->n_carried, record);
	record->number = service->n_carried;
}

static void describe(struct text *out, struct type *type, unsigned method);

/* A value in a frame: what it is, and what happens to it. */
static void describe_value(struct text *out, const struct value *value, unsigned method)
{
	const struct passing *passing = value->passing;
	struct type *target = bare_type(value->type)->target;
	static const char *const directions[] = {"", "in ", "out ", "inout "};

	switch (passing->kind) {
	case PASS_DATA:
		add(out, "%s", directions[passing->direction]);
		if (passing->each && passing->each->kind == PASS_HANDLE)
			add(out, "handles %s", type_text(bare_type(target)));
		else
			describe(out, target, method);
		if (passing->extent)
			add(out, " %s", note_text(passing->extent));
		else if (passing->length)
			add(out, " [%s]", passing->length);
		break;
	case PASS_HANDLE:
		add(out, "handle %s", type_text(target ? target : value->type));
		break;
	case PASS_SHARED:
	case PASS_SCRATCH:
	case PASS_INTO:
	case PASS_SKIPPED:
	case PASS_FREED:
		add(out, "%s", passing_text(passing, value->type));
		return;
	default:
		describe(out, value->type, method);
		return;
	}
	if (passing->lifetime)
		add(out, " %s", note_text(passing->lifetime));
	if (passing->nonnull)
		add(out, " never NULL");
}

static void describe(struct text *out, struct type *type, unsigned method)
{
	type = bare_type(type);
	switch (type->kind) {
	case TYPE_VOID:
		add(out, "void");
		break;
	case TYPE_BOOL:
		add(out, "bool");
		break;
	case TYPE_INT:
	case TYPE_ENUM:
		if (same(type->name, "char")) /* signed or not, as the machine likes it */
			add(out, "char");
		else
			add(out, "%c%llu", type->is_signed ? 'i' : 'u', 8 * (unsigned long long)type->size);
		break;
	case TYPE_FLOAT:
		add(out, "f%llu", 8 * (unsigned long long)(type->filled ? type->filled : type->size));
		break;
	case TYPE_COMPLEX:
		add(out, "complex ");
		describe(out, type->target, method);
		break;
	case TYPE_ARRAY:
		describe(out, type->target, method);
		add(out, "[%llu]", (unsigned long long)type->count);
		break;
	case TYPE_RECORD: {
		struct record *record = type->record;

		add(out, "%s", record->name ? record->name : record->is_union ? "union" : "struct");
		if (record->described == method)
			break;
		record->described = record->name ? method : 0;
		add(out, " {");
		for (unsigned i = 0; i < record->n_fields; i++) {
			const struct value *field = record->fields[i];

			if (!*field->name && field->bits >= 0)
				continue;
			if (field->passing && field->passing->kind != PASS_RECORD && field->passing->kind != PASS_ARRAY)
				describe_value(out, field, method);
			else
				describe(out, field->type, method);
			add(out, " %s%s@%llu", field->name, field->bits < 0 ? "" : format(":%d", field->bits),
			    (unsigned long long)field->offset / (field->bits < 0 ? 8 : 1));
			add(out, "; ");
		}
		add(out, "} of %llu", (unsigned long long)record->size);
		break;
	}
	default: /* of skipped functions only */
		add(out, "%s", type_text(type));
	}
}

static const char *layout_of(const struct function *function)
{
	static unsigned method;
	struct text out = {0};

	method++;
	if (function->is_skipped) {
		add(&out, "%s (not called)", function->name);
		return out.string;
	}
	describe_value(&out, function->signature->result, method);
	add(&out, " %s(", function->name);
	for (unsigned i = 0; i < function->signature->n_params; i++) {
		add(&out, "%s", i ? ", " : "");
		describe_value(&out, function->signature->params[i], method);
	}
	add(&out, ")%s%s", function->frame->errno_name ? " errno" : "",
	    find_note(function->notes, WORD_ASYNC) ? " async" : "");
	if (find_note(function->notes, WORD_SUCCESS))
		add(&out, " %s", note_text(find_note(function->notes, WORD_SUCCESS)));
	return out.string;
}

/* FNV-1a, stirred so that names that differ in the last letter differ everywhere. */
static uint64_t digest_of(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
	hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return hash ^ hash >> 33;
}

static void pad(struct frame *frame, uint64_t align)
{
	uint64_t size = -frame->size & (align - 1);

	if (size) {
		struct slot slot = {.name = format("zero_%u", frame->n_slots), .offset = frame->size, .size = size};

		APPEND(frame->slots, frame->n_slots, slot);
		frame->size += size;
	}
}

static void add_slot(struct frame *frame, struct value *value, const char *name, uint64_t size, uint64_t align)
{
	struct slot slot = {.value = value, .name = name, .size = size};

	pad(frame, align > 8 ? 8 : align ? align : 1);
	slot.offset = frame->size;
	APPEND(frame->slots, frame->n_slots, slot);
	frame->size += size;
}

/* Structs by value, and behind pointers that are followed. */
static void collect_value(struct service *service, const struct value *value)
{
	struct type *type = bare_type(value->type);

	if (value->passing->kind == PASS_DATA)
		collect_field(service, value);
	else if (value->passing->kind == PASS_RECORD)
		collect_records(service, type);
}

static void add_value(struct frame *frame, struct value *value, const char *name)
{
	if (is_pointer(value->type))
		add_slot(frame, value, name, 8, 8);
	else
		add_slot(frame, value, name, value->type->size, value->type->align);
}

static struct frame *frame_of(struct service *service, const struct function *function)
{
	const struct signature *signature = function->signature;
	struct frame *frame = allocate(sizeof *frame);

	if (function->is_skipped || is_freeing(function))
		return frame;
	for (unsigned i = 0; i < signature->n_params; i++) {
		struct value *param = signature->params[i];

		if (param->passing->kind == PASS_SKIPPED)
			continue;
		collect_value(service, param);
		add_value(frame, param, param->name);
	}
	pad(frame, 8);
	frame->result_offset = frame->size;
	if (has_result(function)) {
		collect_value(service, signature->result);
		frame->result_name = free_name(function, "result");
		add_value(frame, signature->result, frame->result_name);
	}
	if (find_note(function->notes, WORD_ERRNO)) {
		frame->errno_name = free_name(function, "error");
		add_slot(frame, NULL, frame->errno_name, 4, 4);
	}
	pad(frame, 8);
	if (frame->size > 64 * 1024)
		error(function->at, "a pointer to what is large",
		      "arguments and result of '%s' take %llu bytes; a call carries 65536 by value", function->name,
		      (unsigned long long)frame->size);
	return frame;
}

/* VMRPC_ID puts a method where it says; the others fill what is free, in order. */
static void number_methods(struct service *service)
{
	unsigned next = 0;

	for (unsigned i = 0; i < service->n_functions; i++)
		if (service->functions[i]->id >= (int64_t)service->n_methods)
			service->n_methods = (unsigned)service->functions[i]->id + 1;
	if (service->n_methods < service->n_functions)
		service->n_methods = service->n_functions;
	service->methods = allocate((service->n_functions + service->n_methods + 1) * sizeof *service->methods);
	for (unsigned i = 0; i < service->n_functions; i++)
		if (service->functions[i]->id >= 0)
			service->methods[service->functions[i]->id] = service->functions[i];
	for (unsigned i = 0; i < service->n_functions; i++) {
		if (service->functions[i]->id >= 0)
			continue;
		while (service->methods[next])
			next++;
		service->methods[next] = service->functions[i];
		if (next >= service->n_methods)
			service->n_methods = next + 1;
	}
	for (unsigned i = 0; i < service->n_methods; i++)
		if (service->methods[i])
			service->methods[i]->number = i;
	if (service->n_methods > 65535)
		error((struct location){.file = service->headers[0].path}, NULL,
		      "a service has at most 65535 methods; this one has %u", service->n_methods);
}

void lay_out(struct service *service)
{
	for (unsigned i = 0; i < service->n_functions; i++) {
		struct function *function = service->functions[i];

		function->frame = frame_of(service, function);
		if (!function->is_skipped)
			plan(service, function);
		function->layout = layout_of(function);
		function->digest = digest_of(function->layout);
	}
	number_methods(service);
}
