/* --explain: for each parameter what will happen to it, and whether that was written, inferred or refused. */
#include <string.h>

#include "stages.h"

static unsigned n_written, n_inferred, n_refused;

static void explain_value(FILE *to, const struct value *value, const char *name)
{
	static const char *const origins[] = {[INFERRED] = "inferred", [WRITTEN] = "written", [REFUSED] = "refused"};
	const struct passing *passing = value->passing;

	if (passing->kind == PASS_VOID)
		return;
	n_written += passing->origin == WRITTEN;
	n_inferred += passing->origin == INFERRED;
	n_refused += passing->origin == REFUSED;
	fprintf(to, "    %-12s %-8s  ", name, origins[passing->origin]);
	if (passing->origin == REFUSED) {
		fprintf(to, "%s\n", passing->because);
		if (passing->write)
			fprintf(to, "    %-12s           write: %s\n", "", passing->write);
		return;
	}
	fprintf(to, "%s", passing_text(passing, value->type));
	if (passing->origin == INFERRED && passing->because && *passing->because &&
	    strcmp(passing->because, "by value") != 0)
		fprintf(to, ": %s", passing->because);
	if (passing->doubt)
		fprintf(to, "; but %s\n    %-12s           write: %s", passing->doubt, "", passing->write);
	fputc('\n', to);
}

/* Structs with fields that were refused, each in the order it was met. */
static const struct record **lacking;
static unsigned n_lacking, n_seen;
static const struct record **seen;

static bool is_refused(const struct value *field)
{
	return field->passing && field->passing->kind == PASS_REFUSED;
}

static void gather_lacking(struct type *type)
{
	const struct record *record;

	type = bare_type(type);
	while (type->kind == TYPE_ARRAY || type->kind == TYPE_OPEN_ARRAY || type->kind == TYPE_POINTER)
		type = bare_type(type->target);
	if (type->kind != TYPE_RECORD)
		return;
	record = type->record;
	for (unsigned i = 0; i < n_seen; i++)
		if (seen[i] == record)
			return;
	APPEND(seen, n_seen, record);
	for (unsigned i = 0; i < record->n_fields; i++)
		if (is_refused(record->fields[i])) {
			APPEND(lacking, n_lacking, record);
			break;
		}
	for (unsigned i = 0; i < record->n_fields; i++) {
		const struct passing *passing = record->fields[i]->passing;

		if (passing &&
		    (passing->kind == PASS_DATA || passing->kind == PASS_RECORD || passing->kind == PASS_ARRAY))
			gather_lacking(record->fields[i]->type);
	}
}

/* Structs in what is carried, whose fields lack words. */
static void explain_fields(FILE *to, const struct value *value, const char *name)
{
	const unsigned before = n_lacking;

	if (value->passing->kind != PASS_DATA && value->passing->kind != PASS_RECORD)
		return;
	n_seen = 0;
	gather_lacking(value->type);
	for (unsigned i = before; i < n_lacking; i++) {
		unsigned n = 0;

		fprintf(to, "    %-12s refused   fields of '%s' need words:", name,
			lacking[i]->name ? lacking[i]->name : "a struct without name");
		for (unsigned j = 0; j < lacking[i]->n_fields; j++)
			if (is_refused(lacking[i]->fields[j]))
				fprintf(to, "%s %s", n++ ? "," : "", lacking[i]->fields[j]->name);
		fputs("; see below\n", to);
	}
}

static void explain_records(FILE *to)
{
	for (unsigned i = 0; i < n_lacking; i++) {
		const struct record *record = lacking[i];
		bool again = false;

		for (unsigned j = 0; j < i; j++)
			again |= lacking[j] == record;
		if (again)
			continue;
		fprintf(to, "%s:%u: fields of %s\n", record->at.file, record->at.line,
			record->name ? record->name : "a struct without name");
		for (unsigned j = 0; j < record->n_fields; j++)
			if (is_refused(record->fields[j]))
				explain_value(to, record->fields[j], record->fields[j]->name);
	}
}

static void explain_callback(FILE *to, const struct value *value)
{
	const struct signature *signature = value->signature;
	struct type *type = value->type;

	for (; !signature && (type->kind == TYPE_TYPEDEF || type->kind == TYPE_POINTER); type = type->target)
		signature = type->kind == TYPE_TYPEDEF ? type->alias->value.signature : NULL;
	if (!signature && type->kind == TYPE_FUNCTION)
		signature = type->signature;
	if (!signature || value->passing->kind != PASS_CALLBACK)
		return;
	for (unsigned i = 0; i < signature->n_params; i++)
		if (signature->params[i]->passing)
			explain_value(to, signature->params[i],
				      format("  %s.%s", value->name, signature->params[i]->name));
}

static bool looks_like_descriptor(const struct value *value)
{
	return bare_type(value->type)->kind == TYPE_INT && value->passing->kind == PASS_VALUE &&
	       (ends_with(value->name, "fd") || ends_with(value->name, "fildes"));
}

static void explain_function(FILE *to, const struct function *function)
{
	static const enum word calls[] = {WORD_ASYNC,	   WORD_FLUSH,	      WORD_ERRNO, WORD_TIMEOUT_MS, WORD_ON_FAIL,
					  WORD_IDEMPOTENT, WORD_SHARED_STACK, WORD_ID,	  WORD_SUCCESS};
	const struct signature *signature = function->signature;

	fprintf(to, "%s:%u: %s\n", function->at.file, function->at.line, function->prototype);
	if (function->is_skipped) {
		fprintf(to, "    skipped: the stub only fails\n");
		n_written++;
		return;
	}
	if (signature->is_variadic || !signature->has_prototype || function->is_noreturn) {
		fprintf(to, "    %-12s %-8s  %s\n", "(the call)",
			find_note(function->notes, WORD_VA_FORMAT) ? "written" : "refused",
			signature->is_variadic	? "'...' needs VMRPC_VA_FORMAT(i) or VMRPC_SKIP"
			: function->is_noreturn ? "it never returns: VMRPC_SKIP"
						: "it has no prototype: C does not say what it takes");
		if (find_note(function->notes, WORD_VA_FORMAT))
			n_written++;
		else
			n_refused++;
	}
	for (unsigned i = 0; i < signature->n_params; i++) {
		const struct value *param = signature->params[i];

		explain_value(to, param, param->name);
		explain_fields(to, param, param->name);
		explain_callback(to, param);
		if (looks_like_descriptor(param))
			fprintf(to, "    %-12s           a number; if it is a file descriptor: %s VMRPC_FD\n", "",
				declaration(param->type, param->name));
		if ((strstr(param->name, "path") || strstr(param->name, "filename")) &&
		    is_character(bare_type(param->type)->kind == TYPE_POINTER ? bare_type(param->type)->target
									      : param->type))
			fprintf(to, "    %-12s           a path means the server's file system\n", "");
	}
	explain_value(to, signature->result, "(result)");
	explain_fields(to, signature->result, "(result)");
	for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
		const struct note *note = find_note(function->notes, calls[i]);

		if (note)
			fprintf(to, "    %-12s written   %s\n", "(the call)", note_text(note));
	}
	if (function->on_fail && !find_note(function->notes, WORD_ON_FAIL))
		fprintf(to, "    %-12s inferred  on failure it returns %s\n", "(the call)", function->on_fail);
}

void explain(FILE *to, const struct service *service)
{
	for (unsigned i = 0; i < service->n_functions; i++)
		explain_function(to, service->functions[i]);
	explain_records(to);
	for (unsigned i = 0; i < service->n_locals; i++)
		fprintf(to, "%s:%u: %s\n    inline: it stays where it is called\n", service->locals[i]->at.file,
			service->locals[i]->at.line, service->locals[i]->prototype);
	for (unsigned i = 0; i < service->n_objects; i++)
		fprintf(to, "%s:%u: %s\n    a variable: client and server each have their own\n",
			service->objects[i]->at.file, service->objects[i]->at.line,
			declaration(service->objects[i]->type, service->objects[i]->name));
	fprintf(to, "%s: %u functions; of their parameters and results %u inferred, %u written, %u refused\n",
		service->name, service->n_functions, n_inferred, n_written, n_refused);
}
