/* NAME.rpc.h: what programs include that want more than the original header offers. */
#include <ctype.h>

#include "stages.h"

static void emit_includes(struct text *out, const struct service *service)
{
	for (unsigned i = 0; i < service->n_headers; i++)
		add(out, "#include \"%s\"\n", service->headers[i].include);
}

void emit_header(struct text *out, const struct service *service)
{
	char *guard = format("%s_RPC_H", service->name);

	for (char *c = guard; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	emit_top(out, service, "the service, and each function with a connection and an error of its own.");
	add(out, "#ifndef %s\n#define %s\n\n", guard, guard);
	add(out, "#include <stdbool.h>\n\n#include <vmrpc/stub.h>\n\n");
	emit_includes(out, service);
	add(out, "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
	add(out, "/* For vmrpc_connect() in clients, for vmrpc_serve() in servers. */\n");
	add(out, "extern const struct vmrpc_service %s_service;\n\n", service->name);
	add(out, "/* On conn, or on the service's own connection where that is NULL. 0, or a negative errno with the\n"
		 " * result untouched. */\n");
	for (unsigned i = 0; i < service->n_functions; i++) {
		const struct function *function = service->functions[i];
		const char *result = NULL;

		if (function->signature->is_variadic || function->is_noreturn)
			continue;
		if (has_result(function))
			result = plain_declaration(function->signature->result->type,
						   format("*%s", free_name(function, "ret_result")));
		add(out, "int %s_rpc(%s);\n", function->name,
		    params_text(function, format("struct vmrpc *%s", free_name(function, "conn")), result));
	}
	add(out, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}
