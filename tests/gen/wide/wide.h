/* wide: an interface of every kind of scalar and struct, for a program that is linked with it directly and remotely. */
#ifndef WIDE_H
#define WIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmrpc/annotate.h>

VMRPC_SERVICE(wide, 1, 0);

enum wide_shade { WIDE_DARK, WIDE_BRIGHT = -3, WIDE_DAZZLING = 1 << 30 };
struct wide_point {
	double x, y;
};
struct wide_padded {
	char c;
	int i;
	short s;
	long l;
	struct {
		char c;
		double d;
	} inner[2];
};
struct wide_bits {
	unsigned a : 3;
	signed int b : 9;
	unsigned long c : 40;
	bool d : 1;
};
struct __attribute__((packed)) wide_packed {
	char c;
	long l;
	short s;
};
struct wide_aligned {
	char c[40];
} __attribute__((aligned(32)));
union wide_number {
	int i;
	double d;
	unsigned char bytes[12];
};
struct wide_big {
	uint64_t words[1000];
};

int wide_add(int a, int b) VMRPC_ON_FAIL(-1);
int8_t wide_i8(int8_t a, uint8_t b);
uint16_t wide_u16(uint16_t a, int16_t b);
int32_t wide_i32(int32_t a, uint32_t b);
uint64_t wide_u64(uint64_t a, int64_t b);
__int128 wide_i128(__int128 a, unsigned __int128 b);
char wide_char(char a, signed char b, unsigned char c);
bool wide_bool(bool a, bool b);
float wide_float(float a, float b);
double wide_double(double a, float b);
long double wide_long_double(long double a, int b);
_Complex double wide_complex(_Complex double a, _Complex float b);
_Complex long double wide_complex_long(_Complex long double a);
enum wide_shade wide_shade(enum wide_shade a, int b);
size_t wide_many(char a, short b, int c, long d, float e, double f, char g, uint64_t h, bool i, long double j, int k);
struct wide_point wide_middle(struct wide_point a, struct wide_point b);
struct wide_padded wide_padded(struct wide_padded a, char b);
struct wide_bits wide_bits(struct wide_bits a);
struct wide_packed wide_packed(char before, struct wide_packed a);
struct wide_aligned wide_aligned(char before, struct wide_aligned a);
union wide_number wide_number(union wide_number a);
struct wide_big wide_big(struct wide_big a, int times);
int wide_errno(int error) VMRPC_ERRNO;
int wide_names(int conn, int frame, int r, int result, int ret_result, int arg);
long wide_counter(void);
void wide_set(long value);
long wide_get(void);
void wide_note(long value) VMRPC_ASYNC;
void wide_settle(void) VMRPC_FLUSH VMRPC_ON_FAIL();
long wide_notes(void) VMRPC_ID(40);
int wide_again(int a) VMRPC_IDEMPOTENT;
int wide_on_stack(int a) VMRPC_SHARED_STACK;
int wide_sleep(int ms) VMRPC_TIMEOUT_MS(50) VMRPC_ON_FAIL(-7);
int wide_by_hand(int a);
const char *wide_skipped(const char *format, ...) VMRPC_SKIP;
int wide_skipped_int(int a) VMRPC_SKIP;
int wide_partly(int a, void *context VMRPC_SKIP, struct wide_point p VMRPC_SKIP);

#endif
