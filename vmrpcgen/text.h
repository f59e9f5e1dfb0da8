/* Memory and strings of a tool that lives for a moment: nothing is ever freed, and running out of memory ends it. */
#ifndef TEXT_H
#define TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *allocate(size_t size); /* zeroed */
void *grow(void *array, size_t n, size_t element);
char *format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *format_list(const char *format, va_list args);
char *copy_of(const char *begin, size_t length);
bool same(const char *a, const char *b); /* NULL equals NULL only */
bool starts_with(const char *string, const char *prefix);
bool ends_with(const char *string, const char *suffix);
bool is_identifier(const char *string);
const char *base_name(const char *path);
/* The whole file with a zero after it, or NULL with errno. */
char *read_file(const char *path);
char *read_bytes(const char *path, size_t *ret_size);

/* Adds item to array, which has n elements and room for the next power of two. */
#define APPEND(array, n, item)                                                       \
	do {                                                                         \
		if (((n) & ((n)-1)) == 0)                                            \
			(array) = grow((array), (n) ? 2 * (n) : 1, sizeof *(array)); \
		(array)[(n)++] = (item);                                             \
	} while (0)

/* A text that grows at its end. Zero-initialised it is empty. */
struct text {
	char *string;
	size_t length, room;
};

void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
