/* What is called, here and there. */
#include "data.h"

#include <string.h>

int64_t data_bytes(const unsigned char *bytes, size_t n)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += bytes[i];
	return sum;
}

int64_t data_structs(const struct data_fixed *structs, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += structs[i].id + structs[i].value;
	return (int64_t)sum;
}

int64_t data_strings(const struct data_var *structs, size_t n)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += structs[i].id + (int64_t)strlen(structs[i].name);
	return sum;
}

int64_t data_list(const struct data_node *list)
{
	int64_t sum = 0;

	for (; list; list = list->next)
		sum += list->value;
	return sum;
}

void data_fill(unsigned char *bytes, size_t n)
{
	memset(bytes, (int)n, n);
}
