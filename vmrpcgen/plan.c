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

/* ---- data -------------------------------------------------------------------------------------------------------- */

static bool is_pointer_expr(const struct planner *planner, const struct note *note)
{
	enum type_kind kind;

	if (!note->n_args || !note->exprs[0])
		return false;
	kind = bare_type(expr_type(note->exprs[0], planner->service, planner->function))->kind;
	return kind == TYPE_POINTER || kind == TYPE_ARRAY || kind == TYPE_OPEN_ARRAY;
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
	if (passing->each && passing->each->kind == PASS_HANDLE) {
		plan->each = allocate(sizeof *plan->each);
		plan->each->name = format("%s_each", plan->name);
		plan_handle(planner, plan->each, element, passing->each,
			    find_note(notes, WORD_EACH) ? find_note(notes, WORD_EACH)->inner : NULL);
		if (!plan->each->close && find_note(notes, WORD_CLOSE_WITH))
			plan->each->close = find_note(notes, WORD_CLOSE_WITH)->text;
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
