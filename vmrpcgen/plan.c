/* What happens to each slot of a frame that is more than its bits: the tables, before they are text. */
#include <ctype.h>
#include <string.h>

#include "stages.h"

struct planner {
	struct service *service;
	struct function *function;
	struct value *value; /* whose plan is made */
	const struct slot *slot;
};

unsigned field_number(const struct frame *frame, const struct value *value)
{
	unsigned number = 0;

	for (unsigned i = 0; i < frame->n_slots; i++) {
		if (frame->slots[i].value == value)
			return number;
		number += frame->slots[i].value != NULL;
	}
	return UINT32_MAX;
}

static struct code *code_of(const struct planner *planner, const struct note *note, unsigned i, struct plan *plan)
{
	return note->n_args > i && note->exprs[i]
		       ? compile_expr(note->exprs[i], note, planner->service, planner->function, plan)
		       : NULL;
}

static struct value *param_named(const struct function *function, const char *name)
{
	for (unsigned i = 0; i < function->signature->n_params; i++)
		if (strcmp(function->signature->params[i]->name, name) == 0 ||
		    same(function->signature->params[i]->other_name, name))
			return function->signature->params[i];
	return NULL;
}

/* ---- handles ----------------------------------------------------------------------------------------------------- */

static const char *as_identifier(const char *name)
{
	char *id = copy_of(name, strlen(name));

	for (char *c = id; *c; c++)
		if (!isalnum((unsigned char)*c))
			*c = '_';
	return id;
}

static struct handle_type *handle_type(const struct planner *planner, struct type *type)
{
	struct service *service = planner->service;
	struct note *own = find_note(planner->value->notes, WORD_HANDLE);
	struct note *of_type = type_notes(type, WORD_HANDLE), *close = type_notes(type, WORD_CLOSE_WITH);
	struct type *target = bare_type(type)->kind == TYPE_POINTER ? bare_type(type)->target : bare_type(type);
	const char *name = own && own->n_args ? own->args[0] : of_type && of_type->n_args ? of_type->args[0] : NULL;
	struct handle_type *handle;

	if (!name) /* a void pointer is told by the name of its type */
		name = bare_type(target)->kind != TYPE_RECORD && type->kind == TYPE_TYPEDEF ? type->name
		       : bare_type(target)->kind == TYPE_RECORD && bare_type(target)->record->name
			       ? bare_type(target)->record->name
			       : type_text(bare_type(target));
	for (unsigned i = 0; i < service->n_handles; i++)
		if (strcmp(service->handles[i]->name, name) == 0)
			return service->handles[i];
	handle = allocate(sizeof *handle);
	handle->name = name;
	handle->id = as_identifier(name);
	handle->type = type;
	if (bare_type(target)->kind == TYPE_RECORD && bare_type(target)->record->is_complete)
		handle->object_size = bare_type(target)->size ? bare_type(target)->size : 1;
	if (close && close->n_args)
		handle->close = close->text;
	APPEND(service->handles, service->n_handles, handle);
	return handle;
}

static void plan_handle(const struct planner *planner, struct plan *plan, struct type *type,
			const struct passing *passing, struct note *notes)
{
	const struct note *close = find_note(notes, WORD_CLOSE_WITH), *closes_if = find_note(notes, WORD_CLOSES_IF);

	plan->kind = "HANDLE";
	plan->number = bare_type(type)->kind != TYPE_POINTER;
	if (plan->number)
		plan->size = plan->align = bare_type(type)->size;
	plan->handle = handle_type(planner, type);
	plan->closes = find_note(notes, WORD_CLOSES) || closes_if;
	if (closes_if)
		plan->condition = code_of(planner, closes_if, 0, NULL);
	if (close && close->n_args && !same(close->text, plan->handle->close))
		plan->close = close->text;
	plan->borrowed = passing->lifetime && passing->lifetime->word == WORD_BORROWED;
	if (passing->lifetime && passing->lifetime->word == WORD_LIVES_WITH)
		plan->parent = param_named(planner->function, passing->lifetime->args[0]);
}

/* ---- structs that hold pointers ------------------------------------------------------------------------------ */

static void plan_data(const struct planner *planner, struct plan *plan, struct type *type,
		      const struct passing *passing, struct note *notes);

static void add_inner(struct record *record, struct plan *plan, uint64_t offset, uint64_t count, struct code *condition)
{
	struct inner inner = {plan, offset, count, condition};

	APPEND(record->inners, record->n_inners, inner);
}

static void append_code(struct code *code, const struct code *part)
{
	for (unsigned i = 0; part && i + 1 < part->n; i++)
		APPEND(code->words, code->n, part->words[i]);
}

/* tag == v, for each v of VMRPC_CASE; for VMRPC_DEFAULT tag != v for those of all others. */
static struct code *condition_of(const struct planner *planner, struct record *scope_record, uint64_t base,
				 const struct value *member, const struct value *whole)
{
	const struct note *tag = find_note(whole->notes, WORD_SWITCH);
	const struct record *members = bare_type(whole->type)->record;
	const bool is_default = find_note(member->notes, WORD_DEFAULT) != NULL;
	struct plan scope = {.scope = scope_record, .scope_offset = base};
	struct code *code = allocate(sizeof *code);
	unsigned n = 0;

	for (unsigned i = 0; i < members->n_fields; i++) {
		const struct note *note = find_note(members->fields[i]->notes, WORD_CASE);

		for (unsigned j = 0; note && j < note->n_args && (is_default || members->fields[i] == member); j++) {
			append_code(code,
				    compile_expr(tag->exprs[0], tag, planner->service, planner->function, &scope));
			append_code(code,
				    compile_expr(note->exprs[j], note, planner->service, planner->function, &scope));
			APPEND(code->words, code->n, is_default ? "VMRPC_DO(NE)" : "VMRPC_DO(EQ)");
			if (n++)
				APPEND(code->words, code->n, is_default ? "VMRPC_DO(AND)" : "VMRPC_DO(OR)");
		}
	}
	if (!n) {
		APPEND(code->words, code->n, "VMRPC_DO(CONST)");
		APPEND(code->words, code->n, is_default ? "1" : "0");
	}
	APPEND(code->words, code->n, "VMRPC_DO(END)");
	return code;
}

static enum direction written_direction(struct note *notes)
{
	return find_note(notes, WORD_IN)      ? DIRECTION_IN
	       : find_note(notes, WORD_OUT)   ? DIRECTION_OUT
	       : find_note(notes, WORD_INOUT) ? DIRECTION_INOUT
					      : DIRECTION_NONE;
}

/* A field of record, which lies at base in top. */
static void plan_field(struct planner *planner, struct record *top, struct record *record, uint64_t base,
		       struct value *field, struct code *condition)
{
	const uint64_t offset = base + field->offset / 8;
	const struct passing *passing = field->passing;
	struct type *type = bare_type(field->type);
	uint64_t count = 1;
	struct plan *plan;

	while (passing && passing->kind == PASS_ARRAY && passing->each && type->kind == TYPE_ARRAY) {
		count *= type->count;
		passing = passing->each;
		type = bare_type(type->target);
	}
	if (!passing || passing->kind == PASS_VALUE || passing->kind == PASS_VOID || field->bits >= 0)
		return;
	if (passing->kind == PASS_RECORD) {
		struct record *inner = type->record;
		const bool is_switched = inner->is_union && find_note(field->notes, WORD_SWITCH);

		for (uint64_t k = 0; k < count; k++)
			for (unsigned i = 0; i < inner->n_fields; i++)
				plan_field(planner, top, inner, offset + k * inner->size, inner->fields[i],
					   is_switched ? condition_of(planner, record, base, inner->fields[i], field)
						       : condition);
		return;
	}
	plan = allocate(sizeof *plan);
	plan->name = format("%s_%s_%llu", as_identifier(top->name ? top->name : "unnamed"), as_identifier(field->name),
			    (unsigned long long)offset);
	plan->nonnull = passing->nonnull;
	plan->scope = record;
	plan->scope_offset = base;
	planner->value = field;
	if (passing->kind == PASS_SKIPPED) {
		plan->kind = "SKIP";
	} else if (passing->kind == PASS_HANDLE) {
		plan_handle(planner, plan, type, passing, field->notes);
	} else {
		plan_data(planner, plan, type, passing, field->notes);
		/* data that is const never comes back; all else goes as its struct goes, unless words say otherwise */
		plan->direction = type->target->is_const ? DIRECTION_IN : written_direction(field->notes);
	}
	add_inner(top, plan, offset, count, condition);
}

static void plan_record(const struct planner *outer, struct record *record)
{
	struct planner planner = *outer;

	if (record->is_planned)
		return;
	record->is_planned = true;
	APPEND(outer->service->deep, outer->service->n_deep, record);
	for (unsigned i = 0; i < record->n_fields; i++)
		plan_field(&planner, record, record, 0, record->fields[i], NULL);
}

/* What each element leads to that holds pointers itself. */
static void plan_deeper(const struct planner *planner, struct plan *plan, struct type *element,
			const struct passing *each, struct note *notes)
{
	struct note *words = find_note(notes, WORD_EACH);
	struct type *bare = bare_type(element);

	if (each->kind == PASS_DATA) {
		plan->deeper = allocate(sizeof *plan->deeper);
		plan->deeper->name = format("%s_each", plan->name);
		plan->deeper->scope = plan->scope;
		plan->deeper->scope_offset = plan->scope_offset;
		plan->deeper->nonnull = each->nonnull;
		plan_data(planner, plan->deeper, element, each, words ? words->inner : NULL);
		if (bare->target->is_const)
			plan->deeper->direction = DIRECTION_IN;
		for (unsigned i = 0; i < plan->deeper->n_needs; i++)
			APPEND(plan->needs, plan->n_needs, plan->deeper->needs[i]);
	} else if (each->kind == PASS_RECORD && bare->kind == TYPE_RECORD && bare->record->has_pointers) {
		plan->record = bare->record;
		plan_record(planner, bare->record);
	}
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

static bool is_pointer_expr(const struct planner *planner, const struct note *note)
{
	return note->n_args && note->exprs[0] &&
	       is_pointer(expr_type(note->exprs[0], planner->service, planner->function));
}

static void plan_extent(const struct planner *planner, struct plan *plan, const struct passing *passing)
{
	const struct note *note = passing->extent;
	struct note *written;

	if (!note && passing->length) { /* T a[n] */
		written = read_note(format("COUNT(%s)", passing->length), planner->value->at);
		if (!written)
			return;
		resolve_notes(written);
		note = written;
	}
	plan->extent = "ONE";
	if (!note)
		return;
	switch (note->word) {
	case WORD_COUNT:
		plan->extent = "COUNT";
		plan->before = code_of(planner, note, 0, plan);
		break;
	case WORD_SIZE:
		plan->extent = "SIZE";
		plan->before = code_of(planner, note, 0, plan);
		break;
	case WORD_STRING:
	case WORD_TERMINATED:
		plan->extent = "STRING";
		break;
	case WORD_STRING_MAX:
		plan->extent = "STRING_MAX";
		plan->before = code_of(planner, note, 0, plan);
		break;
	case WORD_END:
		plan->extent = "END";
		plan->before = code_of(planner, note, 0, plan);
		break;
	case WORD_RANGE:
		plan->extent = is_pointer_expr(planner, note) ? "RANGE_TO" : "RANGE";
		plan->before = code_of(planner, note, 0, plan);
		plan->after = code_of(planner, note, 1, plan);
		break;
	case WORD_COUNT_OUT:
	case WORD_SIZE_OUT:
		plan->extent = note->word == WORD_COUNT_OUT ? "COUNT_OUT" : "SIZE_OUT";
		plan->after = code_of(planner, note, 0, plan);
		plan->before = code_of(planner, note, 1, plan);
		break;
	case WORD_STRING_OUT:
		plan->extent = "STRING_OUT";
		plan->before = code_of(planner, note, 0, plan);
		break;
	default:
		break;
	}
}

static void plan_lifetime(struct plan *plan, const struct passing *passing)
{
	const struct note *note = passing->lifetime;

	if (!note)
		return;
	switch (note->word) {
	case WORD_BORROWED:
		plan->lifetime = "UNTIL_NEXT_CALL";
		break;
	case WORD_STATIC:
		plan->lifetime = "FOR_EVER";
		break;
	case WORD_CALLER_FREES:
		plan->lifetime = strcmp(note->args[0], "free") == 0 ? "UNTIL_FREE" : "UNTIL_VMRPC_FREE";
		plan->release = strcmp(note->args[0], "vmrpc_free") == 0 ? NULL : note->args[0];
		break;
	default:
		break;
	}
}

static void plan_data(const struct planner *planner, struct plan *plan, struct type *type,
		      const struct passing *passing, struct note *notes)
{
	struct type *element = bare_type(type)->target, *bare = bare_type(element);

	plan->kind = passing->kind == PASS_SHARED ? "SHARED" : passing->kind == PASS_SCRATCH ? "SCRATCH" : "DATA";
	plan->direction = passing->direction;
	plan->element = element;
	plan->size = bare->kind == TYPE_VOID || bare->size == 0 ? 1 : bare->size;
	plan->align = bare->kind == TYPE_VOID || bare->align == 0 ? 1 : bare->align;
	plan->copy = find_note(notes, WORD_COPY) != NULL;
	if (passing->kind == PASS_SCRATCH) {
		plan->extent = "SIZE";
		plan->before = code_of(planner, find_note(notes, WORD_SCRATCH), 0, plan);
		plan->direction = DIRECTION_INOUT;
		return;
	}
	if (passing->kind == PASS_SHARED) {
		plan->extent = "ONE"; /* at least: the rest is between caller and callee */
		plan->direction = DIRECTION_INOUT;
		return;
	}
	plan_extent(planner, plan, passing);
	plan_lifetime(plan, passing);
	plan->graph = find_note(notes, WORD_GRAPH) != NULL;
	if (passing->each && passing->each->kind == PASS_DATA) {
		struct note *each = find_note(notes, WORD_EACH);

		plan->deeper = allocate(sizeof *plan->deeper);
		plan->deeper->name = format("%s_each", plan->name);
		plan->deeper->scope = plan->scope;
		plan->deeper->scope_offset = plan->scope_offset;
		plan->deeper->nonnull = passing->each->nonnull;
		plan_data(planner, plan->deeper, element, passing->each, each ? each->inner : NULL);
		if (bare_type(element)->target->is_const)
			plan->deeper->direction = DIRECTION_IN;
		for (unsigned i = 0; i < plan->deeper->n_needs; i++)
			APPEND(plan->needs, plan->n_needs, plan->deeper->needs[i]);
	} else if (bare->kind == TYPE_RECORD && bare->record->has_pointers && passing->each &&
		   passing->each->kind == PASS_RECORD) {
		plan->record = bare->record;
		plan_record(planner, bare->record);
	}
	plan->graph = find_note(notes, WORD_GRAPH) != NULL;
	if (passing->each)
		plan_deeper(planner, plan, element, passing->each, notes);
	if (passing->each && passing->each->kind == PASS_HANDLE) {
		plan->each = allocate(sizeof *plan->each);
		plan->each->name = format("%s_each", plan->name);
		plan_handle(planner, plan->each, element, passing->each,
			    find_note(notes, WORD_EACH) ? find_note(notes, WORD_EACH)->inner : NULL);
		/* on the parameter, or on the function that makes them and returns something else */
		if (!plan->each->close && find_note(notes, WORD_CLOSE_WITH))
			plan->each->close = find_note(notes, WORD_CLOSE_WITH)->text;
		if (!plan->each->close && planner->function->signature->result->passing->kind != PASS_HANDLE &&
		    find_note(planner->function->notes, WORD_CLOSE_WITH))
			plan->each->close = find_note(planner->function->notes, WORD_CLOSE_WITH)->text;
	}
}

static struct plan *plan_slot(const struct planner *planner)
{
	struct value *value = planner->value;
	const struct passing *passing = value->passing;
	struct plan *plan = allocate(sizeof *plan);
	const struct note *note;

	plan->name = format("%s_%s", planner->function->name, planner->slot->name);
	plan->nonnull = passing->nonnull;
	switch (passing->kind) {
	case PASS_DATA:
	case PASS_SHARED:
	case PASS_SCRATCH:
		plan_data(planner, plan, value->type, passing, value->notes);
		return plan;
	case PASS_HANDLE:
		plan_handle(planner, plan, value->type, passing, value->notes);
		return plan;
	case PASS_INTO:
		note = find_note(value->notes, WORD_INTO);
		plan->kind = "INTO";
		plan->into = note && note->n_args ? param_named(planner->function, note->args[0]) : NULL;
		if (!plan->into)
			error(note->at, NULL, "%s names no parameter, which is not carried yet", note_text(note));
		return plan;
	default:
		return NULL;
	}
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

static void put_in_order(struct frame *frame, struct slot *slot)
{
	struct plan *plan = slot->plan;

	if (!plan || plan->mark)
		return;
	plan->mark = 1;
	for (unsigned i = 0; i < plan->n_needs; i++)
		for (unsigned j = 0; j < frame->n_slots; j++)
			if (frame->slots[j].value == plan->needs[i])
				put_in_order(frame, &frame->slots[j]);
	for (unsigned j = 0; j < frame->n_slots && plan->into; j++)
		if (frame->slots[j].value == plan->into)
			put_in_order(frame, &frame->slots[j]);
	APPEND(frame->order, frame->n_order, (unsigned)(slot - frame->slots));
}

/* What an expression reads behind a pointer must not change while it is looked at. */
static void mark_looked_at(struct frame *frame, struct value *const *needs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < frame->n_slots; j++)
			if (frame->slots[j].value == needs[i] && frame->slots[j].plan)
				frame->slots[j].plan->is_looked_at = true;
}

void plan(struct service *service, struct function *function)
{
	struct frame *frame = function->frame;
	const struct note *success = find_note(function->notes, WORD_SUCCESS);
	struct planner planner = {.service = service, .function = function};
	struct plan whole = {0};

	for (unsigned i = 0; i < frame->n_slots; i++) {
		if (!frame->slots[i].value)
			continue;
		planner.value = frame->slots[i].value;
		planner.slot = &frame->slots[i];
		frame->slots[i].plan = plan_slot(&planner);
	}
	if (success)
		frame->success = compile_expr(success->exprs[0], success, service, function, &whole);
	mark_looked_at(frame, whole.needs, whole.n_needs);
	for (unsigned i = 0; i < frame->n_slots; i++)
		if (frame->slots[i].plan)
			mark_looked_at(frame, frame->slots[i].plan->needs, frame->slots[i].plan->n_needs);
	for (unsigned i = 0; i < frame->n_slots; i++)
		put_in_order(frame, &frame->slots[i]);
}
