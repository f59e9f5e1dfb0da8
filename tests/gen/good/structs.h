/* Structs and unions by value. */
#include <stdbool.h>
#include <stdint.h>
#include <vmrpc/annotate.h>

VMRPC_SERVICE(structs, 0, 1);

struct point {
	double x, y;
};
typedef struct {
	char c; /* padding behind */
	int i;
} pair;
struct bits {
	unsigned a : 3;
	int : 4;
	unsigned b : 7;
	bool c : 1;
	unsigned long d : 40;
};
struct __attribute__((packed)) packed {
	char c;
	long l;
	short s;
};
struct wide {
	char c[33];
} __attribute__((aligned(32)));
union number {
	int i;
	double d;
	char bytes[5];
};
struct nested {
	struct point corners[2][3];
	pair pairs[3];
	struct {
		short s;
		union {
			int i;
			float f;
		};
	};
	struct {
		char c;
		long l;
	} inner;
	union number number;
	const int constant;
	long double extended;
};

struct point middle(struct point a, struct point b);
pair swap(pair p);
struct bits turn_bits(struct bits b);
struct packed turn_packed(struct packed p, int i);
struct wide turn_wide(struct wide w, union number n);
struct nested turn_nested(struct nested n);
