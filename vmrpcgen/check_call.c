/* Words about the call itself. */
#include <string.h>

#include "stages.h"

static bool known(const struct note *note, int64_t min, int64_t max, int64_t *ret_value)
{
	if (!note->n_args || !note->exprs[0])
		return false;
	if (!constant_value(note->exprs[0], ret_value)) {
		error(note->at, NULL, "%s must be a constant", note_text(note));
		return false;
	}
	if (*ret_value < min || *ret_value > max) {
		error(note->at, NULL, "%s must be from %lld to %lld", note_text(note), (long long)min, (long long)max);
		return false;
	}
	return true;
}

static void contradiction(const struct note *a, const struct note *b, const char *why)
{
	if (a && b)
		error(b->at, NULL, "%s and %s contradict each other: %s", note_text(a), note_text(b), why);
}

static void check_async(const struct function *function, const struct note *async)
{
	contradiction(async, find_note(function->notes, WORD_ERRNO), "a call that does not wait has no errno");
	contradiction(async, find_note(function->notes, WORD_SHARED_STACK), "its caller's stack goes on without it");
	contradiction(async, find_note(function->notes, WORD_FLUSH), "one does not wait, the other does");
	contradiction(async, find_note(function->notes, WORD_TIMEOUT_MS), "a call that does not wait has no time-out");
	if (has_result(function))
		error(async->at, "a void function", "VMRPC_ASYNC: nobody waits for the result of '%s', which is '%s'",
		      function->name, type_text(function->signature->result->type));
	for (unsigned i = 0; i < function->signature->n_params; i++) {
		const struct value *param = function->signature->params[i];

		if (param->passing->kind == PASS_DATA && param->passing->direction != DIRECTION_IN)
			error(async->at, NULL, "VMRPC_ASYNC: nobody waits for what '%s' gives back through '%s'",
			      function->name, param->name);
	}
}

static void check_on_fail(struct service *service, struct function *function)
{
	const struct note *on_fail = find_note(function->notes, WORD_ON_FAIL);

	if (on_fail) {
		function->on_fail = on_fail->text && *on_fail->text ? on_fail->text : "";
		if (has_result(function) && !*function->on_fail)
			error(on_fail->at, "VMRPC_ON_FAIL(value)", "'%s' returns '%s': say which value means failure",
			      function->name, type_text(function->signature->result->type));
		if (!has_result(function) && *function->on_fail)
			error(on_fail->at, "VMRPC_ON_FAIL()", "'%s' returns nothing, so it can't return %s",
			      function->name, function->on_fail);
		return;
	}
	for (const struct note *note = service->fail_defaults; note; note = note->next)
		if (strcmp(type_text(note->type), type_text(function->signature->result->type)) == 0)
			function->on_fail = note->text;
	if (!function->on_fail && bare_type(function->signature->result->type)->kind == TYPE_POINTER)
		function->on_fail = "NULL";
}

void check_call(struct service *service, struct function *function)
{
	const struct note *async = find_note(function->notes, WORD_ASYNC);
	const struct note *timeout = find_note(function->notes, WORD_TIMEOUT_MS);
	const struct note *id = find_note(function->notes, WORD_ID);
	const struct note *skip = find_note(function->notes, WORD_SKIP);
	int64_t value;

	if (async)
		check_async(function, async);
	contradiction(skip, async, "it is never called");
	contradiction(skip, find_note(function->notes, WORD_FLUSH), "it is never called");
	check_on_fail(service, function);
	if (timeout && known(timeout, 1, UINT32_MAX, &value))
		function->timeout_ms = (uint64_t)value;
	if (id && known(id, 0, 4095, &value)) {
		function->id = value;
		for (unsigned i = 0; service->functions[i] != function; i++)
			if (service->functions[i]->id == value)
				error(id->at, NULL, "VMRPC_ID(%lld) is that of '%s' (%s:%u) too", (long long)value,
				      service->functions[i]->name, service->functions[i]->at.file,
				      service->functions[i]->at.line);
	}
}
