/* NAME.server.c: for each function a thunk that takes a frame and makes the call. */
#include "stages.h"

/* The arguments as the function wants them. Over-aligned structs are first copied to where they may lie. */
static const char *arguments(struct text *out, const struct function *function)
{
	const struct signature *signature = function->signature;
	struct text text = {0};

	add(&text, "%s", "");
	for (unsigned i = 0; i < signature->n_params; i++) {
		const struct value *param = signature->params[i];

		add(&text, "%s", i ? ", " : "");
		if (param->passing->kind == PASS_SKIPPED) {
			add(&text, "(%s){0}", plain_declaration(param->type, ""));
		} else if (is_carried_as_bytes(param->type)) {
			add(out, "\t%s;\n", plain_declaration(param->type, format("%s_", param->name)));
			add(&text, "%s_", param->name);
		} else {
			add(&text, "frame->%s", param->name);
		}
	}
	return text.string;
}

static void emit_thunk(struct text *out, const struct function *function)
{
	const struct signature *signature = function->signature;
	const struct frame *frame = function->frame;
	struct type *result = signature->result->type;
	const bool by_copy = has_result(function) && bare_type(result)->kind == TYPE_RECORD;
	const char *args;

	emit_origin(out, function);
	add(out, "static int serve_%s(void *arg)\n{\n", function->name);
	if (frame->size)
		add(out, "\tstruct frame_%s *frame = arg;\n", function->name);
	args = arguments(out, function);
	add(out, "\n");
	if (!frame->size)
		add(out, "\t(void)arg;\n");
	for (unsigned i = 0; i < signature->n_params; i++) {
		const struct value *param = signature->params[i];

		if (param->passing->kind != PASS_SKIPPED && is_carried_as_bytes(param->type))
			add(out, "\tmemcpy(&%s_, frame->%s, sizeof %s_);\n", param->name, param->name, param->name);
	}
	if (frame->errno_name)
		add(out, "\terrno = 0;\n");
	if (by_copy) {
		add(out, "\t%s = %s(%s);\n", plain_declaration(result, "result"), function->name, args);
		emit_store(out, result, format("frame->%s", frame->result_name), "result", true);
	} else if (has_result(function)) {
		add(out, "\tframe->%s = %s(%s);\n", frame->result_name, function->name, args);
	} else {
		add(out, "\t%s(%s);\n", function->name, args);
	}
	if (frame->errno_name)
		add(out, "\tframe->%s = errno;\n", frame->errno_name);
	add(out, "\treturn 0;\n}\n");
}

void emit_server(struct text *out, const struct service *service)
{
	emit_top(out, service, "the server's side, a thunk for each function.");
	add(out, "#include <errno.h>\n#include <stddef.h>\n#include <stdlib.h>\n#include <string.h>\n\n");
	add(out, "#include \"%s.rpc.h\"\n", service->name);
	emit_undefs(out, service);
	emit_frames(out, service);
	emit_clean(out, service, true);
	for (unsigned i = 0; i < service->n_methods; i++)
		if (service->methods[i] && !service->methods[i]->is_skipped && !is_freeing(service->methods[i]))
			emit_thunk(out, service->methods[i]);
	emit_service(out, service, true);
}
