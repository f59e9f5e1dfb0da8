/* Memory and strings of a tool that lives for a moment. */
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *memory)
{
	if (!memory) {
		fprintf(stderr, "vmrpcgen: out of memory\n");
		exit(1);
	}
	return memory;
}

/* Small pieces are cut from large ones: a header of a few thousand functions needs many. */
void *allocate(size_t size)
{
	static char *piece;
	static size_t left;
	void *result;

	size = (size + 15) & ~(size_t)15;
	if (size > 4096)
		return or_die(calloc(1, size));
	if (size > left) {
		left = 256 * 1024;
		piece = or_die(calloc(1, left));
	}
	result = piece;
	piece += size;
	left -= size;
	return result;
}

void *grow(void *array, size_t n, size_t element)
{
	return or_die(realloc(array, n * element));
}

char *format_list(const char *format, va_list args)
{
	va_list again;
	char *result;
	int length;

	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	result = allocate((size_t)length + 1);
	vsnprintf(result, (size_t)length + 1, format, args);
	return result;
}

char *format(const char *format, ...)
{
	va_list args;
	char *result;

	va_start(args, format);
	result = format_list(format, args);
	va_end(args);
	return result;
}

char *copy_of(const char *begin, size_t length)
{
	char *result = allocate(length + 1);

	memcpy(result, begin, length);
	return result;
}

bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool starts_with(const char *string, const char *prefix)
{
	return strncmp(string, prefix, strlen(prefix)) == 0;
}

bool ends_with(const char *string, const char *suffix)
{
	size_t n = strlen(string), m = strlen(suffix);

	return n >= m && strcmp(string + n - m, suffix) == 0;
}

bool is_identifier(const char *string)
{
	if (!string || (!isalpha((unsigned char)*string) && *string != '_'))
		return false;
	for (; *string; string++)
		if (!isalnum((unsigned char)*string) && *string != '_')
			return false;
	return true;
}

const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *read_bytes(const char *path, size_t *ret_size)
{
	struct text text = {0};
	char buffer[16384];
	size_t n;
	FILE *file = fopen(path, "r");

	if (!file)
		return NULL;
	add(&text, "%s", "");
	while ((n = fread(buffer, 1, sizeof buffer, file)) > 0) {
		while (text.length + n + 1 > text.room)
			text.string = grow(text.string, text.room *= 2, 1);
		memcpy(text.string + text.length, buffer, n);
		text.length += n;
		text.string[text.length] = 0;
	}
	if (ferror(file)) {
		fclose(file);
		errno = EIO;
		return NULL;
	}
	fclose(file);
	*ret_size = text.length;
	return text.string;
}

char *read_file(const char *path)
{
	size_t size;

	return read_bytes(path, &size);
}

void add(struct text *text, const char *format, ...)
{
	va_list args, again;
	size_t length;

	va_start(args, format);
	va_copy(again, args);
	length = (size_t)vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (text->length + length + 1 > text->room) {
		text->room = 2 * (text->length + length + 1);
		text->string = grow(text->string, text->room, 1);
	}
	vsnprintf(text->string + text->length, length + 1, format, args);
	text->length += length;
	va_end(args);
}
