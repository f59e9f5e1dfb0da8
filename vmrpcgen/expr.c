/* The expression language of annotations: C's operators on integers, parameters, fields and constants, and calls. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "stages.h"

#define DEPTH_MAX 200 /* of nested operands: an annotation is written by a person */

struct reader {
	const char *text, *at;
	const struct note *note;
	unsigned depth;
	bool failed;
};

static struct expr *read_condition(struct reader *reader);

/* Where the source has the note's text literally after its word, columns inside are known; else the word's. */
struct location inside_note(const struct note *note, const char *text, unsigned offset)
{
	const char *line = note->at.file && note->at.line ? source_line(note->at.file, note->at.line) : NULL;
	struct location at = note->at;
	const char *found;

	if (!line || at.column == 0 || at.column > strlen(line))
		return at;
	found = strchr(line + at.column - 1, '(');
	found = found ? strstr(found, text) : NULL;
	if (found)
		at.column = (unsigned)(found - line) + offset + 1;
	return at;
}

static void fail(struct reader *reader, const char *what)
{
	if (!reader->failed)
		error(inside_note(reader->note, reader->text, (unsigned)(reader->at - reader->text)), NULL, "%s in %s",
		      what, note_text(reader->note));
	reader->failed = true;
}

static void skip_blanks(struct reader *reader)
{
	while (isspace((unsigned char)*reader->at))
		reader->at++;
}

static bool take(struct reader *reader, const char *token)
{
	skip_blanks(reader);
	if (!starts_with(reader->at, token))
		return false;
	reader->at += strlen(token);
	return true;
}

static struct expr *node(struct reader *reader, enum expr_op op, const char *name)
{
	struct expr *expr = allocate(sizeof *expr);

	expr->op = op;
	expr->name = name;
	expr->begin = (unsigned)(reader->at - reader->text);
	return expr;
}

static const char *read_name(struct reader *reader)
{
	const char *begin;

	skip_blanks(reader);
	begin = reader->at;
	if (!isalpha((unsigned char)*begin) && *begin != '_')
		return NULL;
	while (isalnum((unsigned char)*reader->at) || *reader->at == '_')
		reader->at++;
	return copy_of(begin, (size_t)(reader->at - begin));
}

static struct expr *read_number(struct reader *reader)
{
	struct expr *expr = node(reader, EXPR_NUMBER, NULL);
	unsigned long long value;
	char *end;

	if (*reader->at == '\'') { /* 'x': enough for what annotations compare with */
		const char *c = reader->at + 1;

		expr->value = *c == '\\' ? (c[1] == 'n' ? '\n' : c[1] == '0' ? 0 : c[1]) : *c;
		c += *c == '\\' ? 2 : 1;
		if (!*reader->at || !reader->at[1] || *c != '\'')
			fail(reader, "a character that does not end");
		else
			reader->at = c + 1;
		return expr;
	}
	value = strtoull(reader->at, &end, 0);
	if (value > INT64_MAX)
		fail(reader, "a number that does not fit 64 bits with sign");
	expr->value = (int64_t)value;
	reader->at = end;
	while (*reader->at && strchr("uUlL", *reader->at))
		reader->at++;
	if (isalnum((unsigned char)*reader->at) || *reader->at == '.')
		fail(reader, "no integer");
	return expr;
}

/* sizeof x, sizeof(x), sizeof(struct s): what stands there is left to the compiler. */
static struct expr *read_sizeof(struct reader *reader)
{
	struct expr *expr = node(reader, EXPR_SIZEOF, NULL);
	const char *begin;
	unsigned depth = 0;

	skip_blanks(reader);
	begin = reader->at;
	if (*begin != '(') {
		while (*reader->at == '*' || isspace((unsigned char)*reader->at))
			reader->at++;
		if (read_name(reader))
			expr->name = copy_of(begin, (size_t)(reader->at - begin));
		else
			fail(reader, "sizeof of nothing");
		return expr;
	}
	do {
		depth += *reader->at == '(';
		depth -= *reader->at == ')';
		if (*reader->at)
			reader->at++;
	} while (depth && *reader->at);
	if (depth)
		fail(reader, "a ')' is missing");
	expr->name = copy_of(begin + 1, (size_t)(reader->at - begin) - 2);
	return expr;
}

static struct expr *read_primary(struct reader *reader)
{
	struct expr *expr;
	const char *name;

	skip_blanks(reader);
	if (isdigit((unsigned char)*reader->at) || *reader->at == '\'')
		return read_number(reader);
	if (*reader->at == '"') {
		const char *begin = reader->at++;

		while (*reader->at && *reader->at != '"')
			reader->at += *reader->at == '\\' && reader->at[1] ? 2 : 1;
		if (*reader->at)
			reader->at++;
		return node(reader, EXPR_STRING, copy_of(begin, (size_t)(reader->at - begin)));
	}
	if (take(reader, "(")) {
		expr = read_condition(reader);
		if (!take(reader, ")"))
			fail(reader, "a ')' is missing");
		return expr;
	}
	expr = node(reader, EXPR_NAME, NULL);
	name = read_name(reader);
	if (!name) {
		fail(reader, *reader->at ? "an operand is missing" : "something is missing at the end");
		return expr;
	}
	if (strcmp(name, "sizeof") == 0)
		return read_sizeof(reader);
	expr->name = name;
	return expr;
}

static struct expr *read_postfix(struct reader *reader)
{
	struct expr *expr = read_primary(reader), *outer;

	while (!reader->failed) {
		skip_blanks(reader);
		outer = node(reader, EXPR_MEMBER, NULL);
		outer->operands[0] = expr;
		if (take(reader, "->") || (*reader->at == '.' && take(reader, "."))) {
			outer->begin = (unsigned)(reader->at - reader->text);
			outer->name = read_name(reader);
			if (!outer->name)
				fail(reader, "the name of a field is missing");
		} else if (take(reader, "[")) {
			outer->op = EXPR_INDEX;
			outer->operands[1] = read_condition(reader);
			if (!take(reader, "]"))
				fail(reader, "a ']' is missing");
		} else if (expr->op == EXPR_NAME && take(reader, "(")) {
			struct expr **last = &outer->operands[1];

			outer->op = EXPR_CALL;
			outer->name = expr->name;
			outer->begin = expr->begin;
			outer->operands[0] = NULL;
			if (!take(reader, ")")) {
				do {
					*last = read_condition(reader);
					last = &(*last)->next;
				} while (!reader->failed && take(reader, ","));
				if (!take(reader, ")"))
					fail(reader, "a ')' is missing");
			}
		} else {
			break;
		}
		expr = outer;
	}
	return expr;
}

static struct expr *read_unary(struct reader *reader)
{
	static const char *const operators[] = {"!", "~", "-", "+", "*", "&"};
	struct expr *expr;

	skip_blanks(reader);
	if (++reader->depth > DEPTH_MAX)
		fail(reader, "too many levels");
	for (unsigned i = 0; i < sizeof operators / sizeof *operators && !reader->failed; i++) {
		expr = node(reader, EXPR_UNARY, operators[i]);
		if (take(reader, operators[i])) {
			expr->operands[0] = read_unary(reader);
			reader->depth--;
			return expr;
		}
	}
	expr = reader->failed ? node(reader, EXPR_NUMBER, NULL) : read_postfix(reader);
	reader->depth--;
	return expr;
}

/* Binary operators from the loosest to the tightest; longer ones first where one begins another. */
static const char *const levels[][5] = {
	{"||"},	      {"&&"},	  {"|"},	  {"^"}, {"&"}, {"==", "!="}, {"<=", ">=", "<", ">"},
	{"<<", ">>"}, {"+", "-"}, {"*", "/", "%"}};
#define N_LEVELS (sizeof levels / sizeof *levels)

static const char *take_operator(struct reader *reader, unsigned level)
{
	skip_blanks(reader);
	for (unsigned i = 0; levels[level][i]; i++) {
		const char *op = levels[level][i];
		const char *after = reader->at + strlen(op);

		if (!starts_with(reader->at, op))
			continue;
		if (!op[1] && (*after == *op || (*after == '=' && *op != '='))) /* & is not the half of && */
			continue;
		reader->at = after;
		return op;
	}
	return NULL;
}

static struct expr *read_binary(struct reader *reader, unsigned level)
{
	struct expr *left, *outer;
	const char *op;

	if (level == N_LEVELS)
		return read_unary(reader);
	left = read_binary(reader, level + 1);
	while (!reader->failed && (op = take_operator(reader, level))) {
		outer = node(reader, EXPR_BINARY, op);
		outer->operands[0] = left;
		outer->operands[1] = read_binary(reader, level + 1);
		left = outer;
	}
	return left;
}

static struct expr *read_condition(struct reader *reader)
{
	struct expr *condition, *expr;

	if (++reader->depth > DEPTH_MAX)
		fail(reader, "too many levels");
	condition = reader->failed ? node(reader, EXPR_NUMBER, NULL) : read_binary(reader, 0);
	if (!reader->failed && take(reader, "?")) {
		expr = node(reader, EXPR_CONDITION, "?");
		expr->operands[0] = condition;
		expr->operands[1] = read_condition(reader);
		if (!take(reader, ":"))
			fail(reader, "a ':' is missing");
		expr->operands[2] = read_condition(reader);
		condition = expr;
	}
	reader->depth--;
	return condition;
}

struct expr *read_expr(const char *text, const struct note *note)
{
	struct reader reader = {.text = text, .at = text, .note = note};
	struct expr *expr = read_condition(&reader);

	skip_blanks(&reader);
	if (!reader.failed && *reader.at)
		fail(&reader, format("'%c' is not understood", *reader.at));
	return reader.failed ? NULL : expr;
}
