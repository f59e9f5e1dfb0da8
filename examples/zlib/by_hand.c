/* The client's gzprintf(): only the caller can read its arguments, so it formats them here. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <zlib.h>

int gzvprintf(gzFile file, const char *format, va_list va)
{
	char *text = NULL;
	int n = vasprintf(&text, format, va);

	if (n >= 0)
		n = n ? gzwrite(file, text, (unsigned)n) : 0;
	free(text);
	return n;
}

int gzprintf(gzFile file, const char *format, ...)
{
	va_list va;
	int n;

	va_start(va, format);
	n = gzvprintf(file, format, va);
	va_end(va);
	return n;
}
