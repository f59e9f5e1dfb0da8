/* Diagnostics: collected while the stages run, then printed in the order of the sources, each with its line and a
 * caret, and what to write instead. */
#include <stdlib.h>
#include <string.h>

#include "stages.h"

struct diagnostic {
	struct location at;
	bool is_error;
	const char *message, *write;
	unsigned order;
};

static struct diagnostic *diagnostics;
static unsigned n_diagnostics, n_errors;

struct source {
	const char *path;
	char *text; /* NULL: it could not be read */
	struct source *next;
};

static struct source *sources;

/* A line of a source file without its end, or NULL. */
const char *source_line(const char *file, unsigned line)
{
	struct source *source;
	const char *at, *end;

	for (source = sources; source && strcmp(source->path, file) != 0; source = source->next)
		;
	if (!source) {
		source = allocate(sizeof *source);
		*source = (struct source){file, read_file(file), sources};
		sources = source;
	}
	at = source->text;
	for (; at && line > 1; line--) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return NULL;
	end = strchr(at, '\n');
	return end ? copy_of(at, (size_t)(end - at)) : at;
}

static void collect(bool is_error, struct location at, const char *write, const char *message)
{
	struct diagnostic new = {at, is_error, message, write, n_diagnostics};

	/* a header read twice, or a type reached on two ways, says the same twice */
	for (unsigned i = 0; i < n_diagnostics; i++)
		if (diagnostics[i].at.line == at.line && diagnostics[i].at.column == at.column &&
		    same(diagnostics[i].at.file, at.file) && same(diagnostics[i].message, message))
			return;
	n_errors += is_error;
	APPEND(diagnostics, n_diagnostics, new);
}

void error(struct location at, const char *write, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	collect(true, at, write, format_list(format, args));
	va_end(args);
}

void warning(struct location at, const char *write, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	collect(false, at, write, format_list(format, args));
	va_end(args);
}

unsigned count_errors(void)
{
	return n_errors;
}

static int compare(const void *left, const void *right)
{
	const struct diagnostic *a = left, *b = right;
	int order = strcmp(a->at.file ? a->at.file : "", b->at.file ? b->at.file : "");

	if (order)
		return order;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.column != b->at.column)
		return a->at.column < b->at.column ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

/* The line, and below it the caret under the same blanks and tabs. */
static void quote(FILE *to, struct location at)
{
	const char *line = at.file && at.line ? source_line(at.file, at.line) : NULL;

	if (!line || !at.column || at.column > strlen(line) + 1)
		return;
	fprintf(to, "%s\n", line);
	for (unsigned i = 0; i + 1 < at.column; i++)
		fputc(line[i] == '\t' ? '\t' : ' ', to);
	fputs("^\n", to);
}

unsigned report(FILE *to)
{
	if (n_diagnostics)
		qsort(diagnostics, n_diagnostics, sizeof *diagnostics, compare);
	for (unsigned i = 0; i < n_diagnostics; i++) {
		const struct diagnostic *d = &diagnostics[i];

		if (d->at.file && d->at.line)
			fprintf(to, "%s:%u:%u: ", d->at.file, d->at.line, d->at.column);
		else if (d->at.file)
			fprintf(to, "%s: ", d->at.file);
		else
			fprintf(to, "vmrpcgen: ");
		fprintf(to, "%s: %s\n", d->is_error ? "error" : "warning", d->message);
		quote(to, d->at);
		if (d->write)
			fprintf(to, "  write: %s\n", d->write);
	}
	n_diagnostics = 0;
	return n_errors;
}
