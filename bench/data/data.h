/* The paper's three kinds of data: bytes, structs of one size, structs with strings. */
#ifndef DATA_H
#define DATA_H

#include <stddef.h>
#include <stdint.h>

#include <vmrpc/annotate.h>

VMRPC_SERVICE(data, 1, 0);

struct data_fixed {
	int32_t id, kind;
	double value;
};
struct data_var {
	int64_t id;
	const char *name VMRPC_STRING;
};
struct data_node {
	int64_t value;
	struct data_node *next;
};

/* Each looks at all it gets. */
int64_t data_bytes(const unsigned char *bytes VMRPC_SIZE(n), size_t n);
int64_t data_structs(const struct data_fixed *structs VMRPC_COUNT(n), size_t n);
int64_t data_strings(const struct data_var *structs VMRPC_COUNT(n), size_t n);
int64_t data_list(const struct data_node *list VMRPC_COUNT(1));
/* Fills bytes. */
void data_fill(unsigned char *bytes VMRPC_OUT VMRPC_SIZE(n), size_t n);

#endif
