/* What a header says in attributes that libclang does not show, read from its text: nonnull, access, malloc. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "stages.h"

static struct value *param_at(const struct function *function, unsigned long number)
{
	const struct signature *signature = function->signature;

	return number >= 1 && number <= signature->n_params ? signature->params[number - 1] : NULL;
}

/* nonnull, nonnull(1, 2), and __nonnull ((1, 2)) as the C library has it. */
static void use_nonnull(struct function *function)
{
	const char *at = strstr(function->source, "nonnull");

	while (at && at > function->source && at[-1] == '_' && at - function->source > 8 &&
	       strncmp(at - 8, "returns_", 8) == 0)
		at = strstr(at + 1, "nonnull");
	if (!at)
		return;
	at += strlen("nonnull");
	at += strspn(at, "_ (");
	if (!isdigit((unsigned char)*at)) { /* all of them */
		for (unsigned i = 0; i < function->signature->n_params; i++)
			if (is_pointer(function->signature->params[i]->type))
				add_notes(&function->signature->params[i]->notes,
					  read_note("NONNULL", function->signature->params[i]->at));
		return;
	}
	while (isdigit((unsigned char)*at)) {
		char *end;
		struct value *param = param_at(function, strtoul(at, &end, 10));

		if (param && is_pointer(param->type) && !find_note(param->notes, WORD_NONNULL))
			add_notes(&param->notes, read_note("NONNULL", param->at));
		at = end + strspn(end, " ,");
	}
}

static bool has_words(const struct value *param)
{
	return find_note(param->notes, WORD_IN) || find_note(param->notes, WORD_OUT) ||
	       find_note(param->notes, WORD_INOUT) || find_note(param->notes, WORD_COUNT) ||
	       find_note(param->notes, WORD_SIZE) || find_note(param->notes, WORD_SIZE_OUT) ||
	       find_note(param->notes, WORD_COUNT_OUT) || find_note(param->notes, WORD_STRING_OUT) ||
	       find_note(param->notes, WORD_STRING) || find_note(param->notes, WORD_STRING_MAX) ||
	       find_note(param->notes, WORD_USERDATA) || find_note(param->notes, WORD_SHARED);
}

/* access(write_only, 1, 2): argument 1 points to as many elements (of void: bytes) as argument 2 says. Without the
 * second number, how many is not known. */
static void use_access(struct function *function)
{
	static const char *const modes[][2] = {{"read_only", "IN"}, {"write_only", "OUT"}, {"read_write", "INOUT"}};
	const char *at = function->source;

	while ((at = strstr(at, "access"))) {
		at += strlen("access");
		for (unsigned i = 0; i < 3; i++) {
			const char *mode = at + strspn(at, "_ (\t\n"), *after;
			struct value *param, *count;
			char *end;

			if (!starts_with(mode, modes[i][0]))
				continue;
			after = mode + strlen(modes[i][0]);
			after += strspn(after, "_ ,");
			param = param_at(function, strtoul(after, &end, 10));
			end += strspn(end, " ,");
			count = param_at(function, strtoul(end, NULL, 10));
			if (!param || !count || !is_pointer(param->type) || has_words(param))
				continue;
			add_notes(&param->notes, read_note(modes[i][1], param->at));
			add_notes(
				&param->notes,
				read_note(format("%s(%s)",
						 bare_type(bare_type(param->type)->target)->kind == TYPE_VOID ? "SIZE"
													      : "COUNT",
						 count->name),
					  param->at));
		}
	}
}

/* malloc(close_it) or malloc(close_it, 1): what the result must be given to. The C library has __attr_dealloc for it.
 */
static void use_malloc(struct function *function)
{
	const char *at = function->source;

	while ((at = strstr(at, "alloc"))) {
		const char *before = at - 1, *name;
		const bool is_dealloc = at - function->source >= 7 && starts_with(at - 7, "attr_de");

		if (!is_dealloc && (at == function->source || at[-1] != 'm')) {
			at++;
			continue;
		}
		while (before > function->source && (before[-1] == '_' || before[-1] == ' '))
			before--;
		at += strlen("alloc");
		name = at + strspn(at, "_ ");
		if (*name != '(' ||
		    (!is_dealloc && (before <= function->source || (before[-1] != '(' && before[-1] != ','))))
			continue;
		name++;
		name = copy_of(name, strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789"));
		if (is_identifier(name) && !find_note(function->notes, WORD_CALLER_FREES) &&
		    !find_note(function->notes, WORD_CLOSE_WITH))
			add_notes(&function->notes, read_note(format("CALLER_FREES(%s)", name), function->at));
	}
}

void use_attributes(struct service *service)
{
	for (unsigned i = 0; i < service->n_functions; i++) {
		use_nonnull(service->functions[i]);
		use_access(service->functions[i]);
		use_malloc(service->functions[i]);
	}
}
