/* What contradicts the types, or itself; and what was refused. */
#include <string.h>

#include "stages.h"

static bool is_function_pointer(struct type *type)
{
	type = bare_type(type);
	return type->kind == TYPE_FUNCTION ||
	       (type->kind == TYPE_POINTER && bare_type(type->target)->kind == TYPE_FUNCTION);
}

static const char *about(int places)
{
	return places & ON_FUNCTION    ? "a function"
	       : places & ON_PARAMETER ? "a parameter"
	       : places & ON_MEMBER    ? "a member of a union"
	       : places & ON_FIELD     ? "a field"
	       : places & ON_RESULT    ? "a result"
	       : places & ON_TYPE      ? "a type"
				       : "a line of its own";
}

/* Words of one group exclude each other. */
static const enum word directions[] = {WORD_IN, WORD_OUT, WORD_INOUT};
static const enum word extents[] = {WORD_COUNT,	    WORD_SIZE,	   WORD_STRING,	    WORD_STRING_MAX, WORD_TERMINATED,
				    WORD_COUNT_OUT, WORD_SIZE_OUT, WORD_STRING_OUT, WORD_END};
static const enum word kinds[] = {WORD_HANDLE, WORD_USERDATA, WORD_SHARED, WORD_SCRATCH,
				  WORD_INTO,   WORD_FD,	      WORD_OPENS,  WORD_SKIP};
static const enum word lifetimes[] = {WORD_RETAINED,	 WORD_CONSUMES, WORD_DISPOSED_BY,
				      WORD_CALLER_FREES, WORD_BORROWED, WORD_STATIC};
static const enum word sharing[] = {WORD_SHARED, WORD_COPY};
static const enum word cases[] = {WORD_CASE, WORD_DEFAULT};
static const struct {
	const enum word *words;
	unsigned n;
} groups[] = {
#define GROUP(array)                                \
	{                                           \
		array, sizeof array / sizeof *array \
	}
	GROUP(directions), GROUP(extents), GROUP(kinds), GROUP(lifetimes), GROUP(sharing), GROUP(cases),
};

static bool in(const enum word *words, unsigned n, enum word word)
{
	for (unsigned i = 0; i < n; i++)
		if (words[i] == word)
			return true;
	return false;
}
#define IN_GROUP(group, word) in(group, sizeof(group) / sizeof *(group), word)

static void check_pair(const struct note *a, const struct note *b, const struct site *site)
{
	bool contradict = a->word == b->word && a->word != WORD_WHEN && a->word != WORD_CASE && !same(a->text, b->text);

	for (unsigned i = 0; i < sizeof groups / sizeof *groups && !contradict; i++)
		contradict = a->word != b->word && in(groups[i].words, groups[i].n, a->word) &&
			     in(groups[i].words, groups[i].n, b->word);
	if (IN_GROUP(kinds, a->word) && a->word != WORD_OPENS && a->word != WORD_SKIP &&
	    (IN_GROUP(directions, b->word) || IN_GROUP(extents, b->word)) && !(site->places & ON_FUNCTION))
		contradict = true;
	if (contradict)
		error(b->at, NULL, "%s and %s contradict each other on %s", note_text(a), note_text(b), site->what);
}

static void check_type(const struct note *note, const struct site *site)
{
	struct type *type = site->type, *target;
	const enum word word = note->word;

	if (word == WORD_FD && !is_integer(type))
		error(note->at, NULL, "VMRPC_FD is about a file descriptor, an int; %s is '%s'", site->what,
		      type_text(type));
	if (word == WORD_SWITCH && !(bare_type(type)->kind == TYPE_RECORD && bare_type(type)->record->is_union))
		error(note->at, NULL, "VMRPC_SWITCH is about a union; %s is '%s'", site->what, type_text(type));
	if (word == WORD_RESULT && !is_function_pointer(type))
		error(note->at, NULL, "VMRPC_RESULT is about a callback; %s is '%s'", site->what, type_text(type));
	if (!is_pointer(type)) {
		if (IN_GROUP(directions, word) || IN_GROUP(extents, word) || word == WORD_EACH ||
		    word == WORD_NONNULL || word == WORD_SCRATCH || word == WORD_INTO || word == WORD_ONLY ||
		    word == WORD_RANGE || word == WORD_GRAPH || word == WORD_CALLER_FREES || word == WORD_BORROWED ||
		    word == WORD_STATIC)
			error(note->at, NULL, "%s is about a pointer; %s%s is '%s'", word_name(word),
			      site->places & ON_FUNCTION ? "the result of " : "", site->what, type_text(type));
		return;
	}
	target = bare_type(type)->target;
	if ((word == WORD_OUT || word == WORD_INOUT || word == WORD_COUNT_OUT || word == WORD_SIZE_OUT ||
	     word == WORD_STRING_OUT) &&
	    target->is_const && !(site->places & ON_FUNCTION))
		error(note->at, NULL, "%s says that %s is written to, but it points to '%s'", word_name(word),
		      site->what, type_text(target));
	if (word == WORD_STRING || word == WORD_STRING_MAX || word == WORD_STRING_OUT) {
		struct type *bare = bare_type(target);

		if (bare->kind != TYPE_INT || bare->size > 4)
			error(note->at, bare->kind == TYPE_POINTER ? format("VMRPC_EACH(%s)", note_text(note)) : NULL,
			      "%s is about characters; %s points to '%s'", word_name(word), site->what,
			      type_text(target));
	}
	if ((word == WORD_COUNT || word == WORD_COUNT_OUT) && bare_type(target)->kind == TYPE_VOID)
		error(note->at, word == WORD_COUNT ? format("VMRPC_SIZE(%s)", note->text) : NULL,
		      "%s counts elements, and %s points to 'void', which has no size", word_name(word), site->what);
	if (word == WORD_ONLY) {
		struct type *bare = bare_type(target);

		for (unsigned i = 0; i < note->n_args; i++) {
			bool found = false;

			for (unsigned j = 0; bare->kind == TYPE_RECORD && j < bare->record->n_fields; j++)
				found |= strcmp(bare->record->fields[j]->name, note->args[i]) == 0;
			if (!found)
				error(inside_note(note, note->args[i], 0), NULL, "'%s' has no field '%s'",
				      type_text(target), note->args[i]);
		}
	}
}

static struct value *sibling(const struct site *site, const char *name)
{
	for (unsigned i = 0; site->signature && i < site->signature->n_params; i++)
		if (strcmp(site->signature->params[i]->name, name) == 0 ||
		    same(site->signature->params[i]->other_name, name))
			return site->signature->params[i];
	for (unsigned i = 0; site->record && i < site->record->n_fields; i++)
		if (strcmp(site->record->fields[i]->name, name) == 0)
			return site->record->fields[i];
	return NULL;
}

/* Names of functions, callbacks and owners. */
static void check_names(const struct note *note, const struct site *site)
{
	const char *name = note->n_args ? note->args[0] : NULL;
	struct value *value;

	if (!name)
		return;
	switch (note->word) {
	case WORD_CALLER_FREES:
	case WORD_CONSUMES:
	case WORD_OWNED:
		if (!function_is_declared(name) && strcmp(name, "free") != 0 && strcmp(name, "vmrpc_free") != 0)
			error(inside_note(note, name, 0), NULL, "no function '%s' is declared, for %s", name,
			      note_text(note));
		break;
	case WORD_CLOSE_WITH:
		name = copy_of(name, strcspn(name, "( "));
		if (!function_is_declared(name))
			error(inside_note(note, name, 0), NULL, "no function '%s' is declared, for %s", name,
			      note_text(note));
		break;
	case WORD_USERDATA:
	case WORD_DISPOSED_BY:
		value = sibling(site, name);
		if (!value)
			error(inside_note(note, name, 0), NULL, "there is no callback '%s', for %s", name,
			      note_text(note));
		else if (!is_function_pointer(value->type))
			error(inside_note(note, name, 0), NULL, "'%s' is '%s', no callback, in %s", name,
			      type_text(value->type), note_text(note));
		break;
	case WORD_LIVES_WITH:
	case WORD_RETAINED:
		if (!sibling(site, name) && strcmp(name, "result") != 0 && strcmp(name, "self") != 0)
			error(inside_note(note, name, 0), NULL, "there is no '%s' that could own it, in %s", name,
			      note_text(note));
		break;
	default:
		break;
	}
}

static void check_list(const struct service *service, struct note *notes, const struct site *site)
{
	struct scope scope = {.service = service, .signature = site->signature, .record = site->record};

	for (struct note *note = notes; note; note = note->next) {
		if (!((int)word_places(note->word) & site->places)) {
			error(note->at, NULL, "%s says something of %s, not of %s", word_name(note->word),
			      about((int)word_places(note->word)), about(site->places));
			continue;
		}
		for (struct note *earlier = notes; earlier != note; earlier = earlier->next) {
			check_pair(earlier, note, site);
			if (IN_GROUP(kinds, note->word) && !IN_GROUP(kinds, earlier->word))
				check_pair(note, earlier, site);
		}
		for (unsigned i = 0; i < note->n_args; i++)
			if (note->exprs[i])
				check_expr(note->exprs[i], note, &scope);
		if (site->type)
			check_type(note, site);
		check_names(note, site);
		if (note->word == WORD_IN)
			for (struct note *other = notes; other; other = other->next)
				if (other->word == WORD_COUNT_OUT || other->word == WORD_SIZE_OUT ||
				    other->word == WORD_STRING_OUT)
					error(other->at, NULL, "VMRPC_IN and %s contradict each other on %s",
					      note_text(other), site->what);
		if ((note->word == WORD_CLOSES || note->word == WORD_CLOSES_IF) && site->value &&
		    site->value->passing && site->value->passing->kind != PASS_HANDLE &&
		    site->value->passing->kind != PASS_OBJECT && site->value->passing->kind != PASS_REFUSED)
			error(note->at, "VMRPC_HANDLE", "%s closes %s, which is no handle and no object",
			      word_name(note->word), site->what);
	}
	for (struct note *note = notes; note; note = note->next) {
		struct site inner = *site;

		if (note->word == WORD_WHEN)
			check_list(service, note->inner, &inner);
		if (note->word == WORD_EACH && site->type && is_pointer(site->type)) {
			inner.type = bare_type(site->type)->target;
			inner.places = ON_PARAMETER | ON_FIELD | ON_RESULT;
			inner.what = format("what %s points to", site->what);
			check_list(service, note->inner, &inner);
		}
	}
}

static void check_union(const struct site *site)
{
	const struct note *first_default = NULL;

	for (unsigned i = 0; i < site->record->n_fields; i++) {
		const struct note *note = find_note(site->record->fields[i]->notes, WORD_DEFAULT);

		if (note && first_default)
			error(note->at, NULL, "%s has two members that are VMRPC_DEFAULT", site->what);
		if (note)
			first_default = note;
	}
}

static void check_site(const struct service *service, const struct site *site)
{
	const unsigned before = count_errors();

	check_list(service, site->notes, site);
	if (site->value) {
		site->value->is_wrong = count_errors() > before;
		for (const struct note *note = site->notes; note; note = note->next)
			site->value->is_wrong |= note->is_wrong;
	}
	if (site->record && !site->value && site->record->is_union)
		check_union(site);
}

static void refuse_site(const struct service *service, const struct site *site)
{
	const struct passing *passing = site->value ? site->value->passing : NULL;

	(void)service;
	if (!passing || site->value->is_wrong || (site->function && site->function->is_skipped))
		return;
	if (passing->doubt)
		warning(site->value->at, passing->write, "%s; it is taken as one element", passing->doubt);
	if (passing->kind != PASS_REFUSED)
		return;
	error(site->value->at, passing->write, "%s%s", passing->because,
	      site->function && site->places & ON_FUNCTION ? format(" (of '%s')", site->function->name) : "");
}

static void check_function(struct service *service, struct function *function)
{
	const struct signature *signature = function->signature;
	const struct note *va_format = find_note(function->notes, WORD_VA_FORMAT);

	if (va_format && !signature->is_variadic)
		error(va_format->at, NULL, "VMRPC_VA_FORMAT is about '...', which '%s' has not", function->name);
	check_call(service, function);
}

/* refusals: those count too; --explain shows them in its own way. */
void check(struct service *service, bool refusals)
{
	walk(service, check_site);
	for (unsigned i = 0; i < service->n_functions; i++)
		check_function(service, service->functions[i]);
	if (!refusals)
		return;
	walk(service, refuse_site);
	for (unsigned i = 0; i < service->n_functions; i++) {
		const struct function *function = service->functions[i];
		const struct signature *signature = function->signature;

		if (function->is_skipped)
			continue;
		if (!signature->has_prototype)
			error(function->at, format("%s(void)", function->name),
			      "'%s' has no prototype: C does not say what it takes", function->name);
		if (signature->is_variadic && !find_note(function->notes, WORD_VA_FORMAT))
			error(function->at,
			      "VMRPC_VA_FORMAT(i) when argument i is a format; or VMRPC_SKIP, and a function of your "
			      "own",
			      "'%s' takes '...', whose arguments only it can know", function->name);
		if (function->is_noreturn)
			error(function->at, "VMRPC_SKIP", "'%s' never returns, so its caller could never be answered",
			      function->name);
	}
	for (unsigned i = 0; i < service->n_objects; i++)
		if (!service->objects[i]->type->is_const && count_errors() == 0)
			warning(service->objects[i]->at, NULL,
				"the variable '%s' stays where it is: client and server each have their own",
				service->objects[i]->name);
	if (!service->n_functions)
		error((struct location){.file = service->headers[0].path}, NULL,
		      "no function is declared here that could be called remotely");
}
