/* NAME.client.c: for each function its _rpc variant, and a stub of the original's name and prototype that calls it. */
#include <string.h>

#include "stages.h"

/* The local names of one function, none of which is that of a parameter. */
struct names {
	const char *conn, *ret_result, *frame, *r, *result, *saved;
};

static void emit_pass(struct text *out, const struct function *function)
{
	for (unsigned i = 0; i < function->signature->n_params; i++) {
		const struct value *param = function->signature->params[i];

		if (function->is_skipped || param->passing->kind == PASS_SKIPPED)
			add(out, "\t(void)%s;\n", param->name);
	}
}

static void emit_rpc_body(struct text *out, const struct service *service, const struct function *function,
			  const struct names *names)
{
	const struct frame *frame = function->frame;
	const char *argument = frame->size ? format("&%s", names->frame) : "NULL";

	if (frame->size)
		add(out, "\tstruct frame_%s %s;\n", function->name, names->frame);
	if (frame->errno_name)
		add(out, "\tint %s = errno;\n", names->saved);
	add(out, "\tint %s;\n\n", names->r);
	emit_pass(out, function);
	if (find_note(function->notes, WORD_FLUSH))
		add(out, "\t%s = vmrpc_stub_flush(%s, &%s_service);\n\tif (%s < 0)\n\t\treturn %s;\n", names->r,
		    names->conn, service->name, names->r, names->r);
	if (frame->size)
		add(out, "\tmemset(&%s, 0, sizeof %s);\n", names->frame, names->frame);
	for (unsigned i = 0; i < frame->n_slots; i++) {
		const struct slot *slot = &frame->slots[i];

		if (slot->value && slot->offset < frame->result_offset)
			emit_store(out, slot->value->type, format("%s.%s", names->frame, slot->name), slot->name, true);
	}
	add(out, "\t%s = vmrpc_stub_call(%s, &%s_service, method_%s, %s);\n", names->r, names->conn, service->name,
	    function->name, argument);
	if (!frame->result_name && !frame->errno_name) {
		add(out, "\treturn %s;\n", names->r);
		return;
	}
	add(out, "\tif (%s < 0)\n\t\treturn %s;\n", names->r, names->r);
	if (frame->result_name) {
		const char *from = format("%s.%s", names->frame, frame->result_name);

		if (bare_type(function->signature->result->type)->kind == TYPE_RECORD)
			add(out, "\tmemcpy(%s, &%s, sizeof *%s);\n", names->ret_result, from, names->ret_result);
		else
			add(out, "\t*%s = %s;\n", names->ret_result, from);
	}
	/* waiting may have changed errno; a function that succeeds leaves it alone */
	if (frame->errno_name)
		add(out, "\terrno = %s.%s ? %s.%s : %s;\n", names->frame, frame->errno_name, names->frame,
		    frame->errno_name, names->saved);
	add(out, "\treturn 0;\n");
}

/* "conn, a, b, ret_result" */
static const char *pass_on(const struct function *function, const char *conn, const char *ret_result)
{
	struct text text = {0};

	add(&text, "%s", conn);
	for (unsigned i = 0; i < function->signature->n_params; i++)
		add(&text, ", %s", function->signature->params[i]->name);
	if (has_result(function))
		add(&text, ", %s", ret_result);
	return text.string;
}

static void emit_rpc(struct text *out, const struct service *service, const struct function *function,
		     const struct names *names)
{
	const char *result = NULL, *params;

	if (has_result(function))
		result = plain_declaration(function->signature->result->type, format("*%s", names->ret_result));
	params = params_text(function, format("struct vmrpc *%s", names->conn), result);
	if (!function->is_skipped && !is_freeing(function)) {
		/* once in either, so that the stub costs no second call */
		add(out, "static inline __attribute__((always_inline)) int vmrpc_call_%s(%s)\n{\n", function->name,
		    params);
		emit_rpc_body(out, service, function, names);
		add(out, "}\n\nint %s_rpc(%s)\n{\n\treturn vmrpc_call_%s(%s);\n}\n", function->name, params,
		    function->name, pass_on(function, names->conn, names->ret_result));
		return;
	}
	add(out, "int %s_rpc(%s)\n{\n\t(void)%s;\n", function->name, params, names->conn);
	if (function->is_skipped) {
		emit_pass(out, function);
		if (result)
			add(out, "\t(void)%s;\n", names->ret_result);
		add(out, "\treturn vmrpc_stub_skipped(&%s_service, method_%s);\n", service->name, function->name);
	} else {
		add(out, "\tvmrpc_free((void *)%s); /* what a call gave is the caller's own */\n",
		    function->signature->params[0]->name);
		add(out, "\treturn 0;\n");
	}
	add(out, "}\n");
}

/* What a caller without an error of its own gets. */
static void emit_failure(struct text *out, const struct service *service, const struct function *function,
			 const struct names *names, const char *error, const char *indent)
{
	if (function->on_fail) {
		add(out, "%serrno = -%s;\n", indent, error);
		if (*function->on_fail)
			add(out, "%sreturn %s;\n", indent, function->on_fail);
		return;
	}
	add(out, "%svmrpc_stub_failed(&%s_service, method_%s, %s);\n", indent, service->name, function->name, error);
	if (has_result(function))
		add(out, "%smemset(&%s, 0, sizeof %s);\n", indent, names->result, names->result);
}

static void emit_stub(struct text *out, const struct service *service, const struct function *function,
		      const struct names *names)
{
	const bool returns = has_result(function);
	const char *head = params_text(function, NULL, NULL);
	struct text call = {0};

	add(out, "\n__attribute__((weak)) %s\n{\n",
	    declaration(function->signature->result->type, format("%s(%s)", function->name, head)));
	if (returns && !(function->is_skipped && function->on_fail))
		add(out, "\t%s;\n", plain_declaration(function->signature->result->type, names->result));
	if (function->is_skipped) {
		add(out, "\n");
		emit_pass(out, function);
		emit_failure(out, service, function, names,
			     format("vmrpc_stub_skipped(&%s_service, method_%s)", service->name, function->name), "\t");
		if (function->is_noreturn)
			add(out, "\tabort();\n");
		else if (returns && !function->on_fail)
			add(out, "\treturn %s;\n", names->result);
		add(out, "}\n");
		return;
	}
	add(&call, is_freeing(function) ? "%s_rpc(%s)" : "vmrpc_call_%s(%s)", function->name,
	    pass_on(function, "NULL", format("&%s", names->result)));
	add(out, "\tint %s = %s;\n\n", names->r, call.string);
	if (function->on_fail || returns)
		add(out, "\tif (%s < 0) {\n", names->r);
	else
		add(out, "\tif (%s < 0)\n", names->r);
	emit_failure(out, service, function, names, names->r, "\t\t");
	if (function->on_fail || returns)
		add(out, "\t}\n");
	if (returns)
		add(out, "\treturn %s;\n", names->result);
	add(out, "}\n");
}

void emit_client(struct text *out, const struct service *service)
{
	emit_top(out, service, "the client's side, a stub for each function.");
	add(out, "#include <errno.h>\n#include <stddef.h>\n#include <stdlib.h>\n#include <string.h>\n\n");
	add(out, "#include \"%s.rpc.h\"\n", service->name);
	emit_undefs(out, service);
	emit_frames(out, service);
	emit_clean(out, service, false);
	emit_service(out, service, false);
	for (unsigned i = 0; i < service->n_methods; i++) {
		const struct function *function = service->methods[i];
		struct names names;

		if (!function)
			continue;
		names = (struct names){free_name(function, "conn"),   free_name(function, "ret_result"),
				       free_name(function, "frame"),  free_name(function, "r"),
				       free_name(function, "result"), free_name(function, "saved")};
		emit_origin(out, function);
		if (function->signature->is_variadic || function->is_noreturn) {
			emit_stub(out, service, function, &names);
			continue;
		}
		emit_rpc(out, service, function, &names);
		emit_stub(out, service, function, &names);
	}
}
