/* Annotation strings: "COUNT(n)" from the source, "VMRPC_EACH(VMRPC_STRING)" inside others. */
#include <ctype.h>
#include <string.h>

#include "stages.h"

static const struct {
	const char *name, *arguments;
	int places;
} words[] = {
#define WORD(name, arguments, places) [WORD_##name] = {"VMRPC_" #name, arguments, places},
#include "words.h"
#undef WORD
};

const char *word_name(enum word word)
{
	return words[word].name;
}

enum place word_places(enum word word)
{
	return (enum place)words[word].places;
}

const char *note_text(const struct note *note)
{
	return note->text ? format("%s(%s)", words[note->word].name, note->text) : words[note->word].name;
}

void add_notes(struct note **list, struct note *notes)
{
	while (*list)
		list = &(*list)->next;
	*list = notes;
}

static const char *trimmed(const char *begin, const char *end)
{
	while (begin < end && isspace((unsigned char)*begin))
		begin++;
	while (end > begin && isspace((unsigned char)end[-1]))
		end--;
	return copy_of(begin, (size_t)(end - begin));
}

/* The end of an argument: a comma or the end of the text, outside of parentheses and strings. NULL: unbalanced. */
static const char *argument_end(const char *at)
{
	unsigned depth = 0;

	for (; *at && (depth || *at != ','); at++) {
		if (*at == '"' || *at == '\'') {
			char quote = *at++;

			while (*at && *at != quote)
				at += *at == '\\' && at[1] ? 2 : 1;
			if (!*at)
				return NULL;
		} else if (*at == '(' || *at == '[' || *at == '{') {
			depth++;
		} else if (*at == ')' || *at == ']' || *at == '}') {
			if (!depth--)
				return NULL;
		}
	}
	return depth ? NULL : at;
}

static bool split(struct note *note)
{
	const char *at = note->text, *end;

	while (*trimmed(at, at + strlen(at))) {
		end = argument_end(at);
		if (!end)
			return false;
		APPEND(note->args, note->n_args, trimmed(at, end));
		if (!*end)
			return true;
		at = end + 1;
		if (!*trimmed(at, at + strlen(at)))
			return false; /* a comma with nothing behind it */
	}
	return true;
}

static struct note *read_notes(const char *at, struct location where, const struct note *outer);

/* The word that was probably meant, by the number of letters to change; NULL when none is near. */
const char *nearest_word(const char *name)
{
	size_t length = strlen(name), best_distance = (length - 6) / 3 > 1 ? (length - 6) / 3 : 1;
	const char *best = NULL;

	for (unsigned i = 0; i < N_WORDS && length < 64; i++) {
		unsigned row[65], previous, old;

		for (unsigned j = 0; j <= length; j++)
			row[j] = j;
		for (const char *c = words[i].name; *c; c++) {
			previous = row[0]++;
			for (unsigned j = 1; j <= length; j++) {
				old = row[j];
				row[j] = previous + (*c != name[j - 1]);
				if (row[j - 1] + 1 < row[j])
					row[j] = row[j - 1] + 1;
				if (old + 1 < row[j])
					row[j] = old + 1;
				previous = old;
			}
		}
		if (row[length] < best_distance || (!best && row[length] == best_distance)) {
			best_distance = row[length];
			best = words[i].name;
		}
	}
	return best;
}

/* Whether the arguments are as many as the word takes, and of the right kind. Reads words and names among them. */
static void read_arguments(struct note *note)
{
	const char *kinds = words[note->word].arguments;
	unsigned n = 0;
	bool optional = false;

	for (; *kinds; kinds++) {
		const char *arg = n < note->n_args ? note->args[n] : NULL;

		if (*kinds == '?') {
			optional = true;
			continue;
		}
		if (*kinds == '+') {
			n = note->n_args;
			break;
		}
		if (!arg) {
			if (!optional)
				error(note->at, NULL, "%s lacks an argument", note_text(note));
			n = note->n_args;
			break;
		}
		if (*kinds == 'w') {
			for (; n < note->n_args; n++)
				add_notes(&note->inner, read_notes(note->args[n], note->at, note));
			break;
		}
		if (*kinds == 't') {
			n = note->n_args;
			break;
		}
		if (*kinds == 'd' && strcmp(arg, "IN") != 0 && strcmp(arg, "OUT") != 0 && strcmp(arg, "INOUT") != 0)
			error(inside_note(note, arg, 0), NULL, "'%s' in %s is no direction: IN, OUT or INOUT", arg,
			      note_text(note));
		if (*kinds == 's' && *arg != '"')
			error(inside_note(note, arg, 0), format("%s(\"%s\")", words[note->word].name, arg),
			      "%s takes a reason in quotes", words[note->word].name);
		if (*kinds == 'n' && !is_identifier(arg) && note->word != WORD_CLOSE_WITH)
			error(inside_note(note, arg, 0), NULL, "'%s' in %s is no name", arg, note_text(note));
		n++;
	}
	if (n < note->n_args)
		error(inside_note(note, note->args[n], 0), NULL, "%s has more arguments than %s takes", note_text(note),
		      words[note->word].name);
}

static struct note *new_note(const char *name, const char *text, struct location at)
{
	struct note *note = allocate(sizeof *note);
	bool needs, takes;

	note->at = at;
	note->text = text;
	for (note->word = 0; note->word < N_WORDS && strcmp(words[note->word].name, name) != 0; note->word++)
		;
	if (note->word == N_WORDS) {
		const char *meant = nearest_word(name);

		error(at, meant, "there is no annotation %s", name);
		return NULL;
	}
	takes = *words[note->word].arguments;
	needs = takes && *words[note->word].arguments != '?';
	if (!text && needs) {
		error(at, format("%s(...)", name), "%s needs an argument", name);
		return NULL;
	}
	if (text && !takes) {
		error(at, name, "%s takes no argument", name);
		return NULL;
	}
	if (text && !split(note)) {
		error(at, NULL, "parentheses, quotes or commas of %s(%s) do not match", name, text);
		return NULL;
	}
	if (text) {
		unsigned before = count_errors();

		read_arguments(note);
		note->is_wrong = count_errors() > before;
	}
	/* one word for each meaning from here on */
	if (note->word == WORD_HANDLE_NAMED)
		note->word = WORD_HANDLE;
	else if (note->word == WORD_USERDATA_OF)
		note->word = WORD_USERDATA;
	else if (note->word == WORD_CONSUMES_WITH)
		note->word = WORD_CONSUMES;
	note->exprs = allocate((note->n_args + 1) * sizeof *note->exprs);
	return note;
}

/* Words one after the other, with or without commas between them, as they stand inside other words. */
static struct note *read_notes(const char *at, struct location where, const struct note *outer)
{
	struct note *list = NULL, *note;

	while (isspace((unsigned char)*at))
		at++;
	while (*at) {
		const char *begin = at, *name, *text = NULL;

		while (isalnum((unsigned char)*at) || *at == '_')
			at++;
		name = copy_of(begin, (size_t)(at - begin));
		if (!starts_with(name, "VMRPC_")) {
			error(inside_note(outer, outer->text, 0), format("%s(... VMRPC_...)", words[outer->word].name),
			      "'%s' in %s is no annotation", begin, note_text(outer));
			return list;
		}
		while (isspace((unsigned char)*at))
			at++;
		if (*at == '(') {
			const char *end = at + 1;
			unsigned depth = 1;

			for (; *end && depth; end++) {
				depth += *end == '(';
				depth -= *end == ')';
			}
			if (depth) {
				error(where, NULL, "a ')' is missing in %s", note_text(outer));
				return list;
			}
			text = trimmed(at + 1, end - 1);
			at = end;
		}
		note = new_note(name, text, where);
		if (note)
			add_notes(&list, note);
		while (isspace((unsigned char)*at) || *at == ',')
			at++;
	}
	return list;
}

/* The string of one attribute, without the prefix that tells it from other people's. NULL after an error. */
struct note *read_note(const char *string, struct location at)
{
	const char *parenthesis = strchr(string, '(');
	size_t length = strlen(string);

	if (!parenthesis)
		return new_note(format("VMRPC_%s", string), NULL, at);
	if (string[length - 1] != ')')
		return NULL;
	return new_note(format("VMRPC_%.*s", (int)(parenthesis - string), string),
			trimmed(parenthesis + 1, string + length - 1), at);
}

/* Parses the expressions of notes and of those inside them. */
void resolve_notes(struct note *notes)
{
	for (; notes; notes = notes->next) {
		const char *kinds = words[notes->word].arguments;
		unsigned n = 0;

		for (; *kinds && n < notes->n_args; kinds++) {
			if (*kinds == '?')
				continue;
			for (; *kinds == 'e' && n < notes->n_args; n++) {
				if (!notes->exprs[n])
					notes->exprs[n] = read_expr(notes->args[n], notes);
				if (kinds[1] != '+') {
					n++;
					break;
				}
			}
			if (*kinds != 'e')
				n++;
		}
		resolve_notes(notes->inner);
	}
}
