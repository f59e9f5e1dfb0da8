/* --suggest: the words that would settle what was refused, as a sidecar could hold them. */
#include <string.h>

#include "stages.h"

static bool needs_words(const struct function *function)
{
	const struct signature *signature = function->signature;

	if (function->is_skipped)
		return false;
	if ((signature->is_variadic && !find_note(function->notes, WORD_VA_FORMAT)) || function->is_noreturn ||
	    signature->result->passing->kind == PASS_REFUSED)
		return true;
	for (unsigned i = 0; i < signature->n_params; i++)
		if (signature->params[i]->passing->kind == PASS_REFUSED || signature->params[i]->passing->doubt)
			return true;
	return false;
}

/* The declaration with words, where the suggestion is one; else as it was. */
static const char *suggested(const struct value *param)
{
	const struct passing *passing = param->passing;
	const char *plain = declaration(param->type, param->name);

	if (passing->kind != PASS_REFUSED && !passing->doubt)
		return plain;
	if (passing->write && starts_with(passing->write, plain))
		return passing->write;
	return format("%s /* %s */", plain, passing->because);
}

void suggest(FILE *to, const struct service *service)
{
	for (unsigned i = 0; i < service->n_functions; i++) {
		const struct function *function = service->functions[i];
		const struct signature *signature = function->signature;
		const struct passing *result = signature->result->passing;
		struct text params = {0};

		if (!needs_words(function))
			continue;
		for (unsigned j = 0; j < signature->n_params; j++)
			add(&params, "%s%s", j ? ", " : "", suggested(signature->params[j]));
		if (signature->is_variadic)
			add(&params, ", ...");
		else if (!params.length)
			add(&params, "void");
		fprintf(to, "/* %s:%u */\n%s", function->at.file, function->at.line,
			declaration(signature->result->type, format("%s(%s)", function->name, params.string)));
		if (signature->is_variadic || function->is_noreturn)
			fprintf(to, " VMRPC_SKIP");
		else if (result->kind == PASS_REFUSED && result->write)
			fprintf(to, " %s", result->write);
		fprintf(to, ";\n");
	}
}
