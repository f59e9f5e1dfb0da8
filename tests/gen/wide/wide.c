/* The library behind wide.h. Each function does something that no mix-up of arguments survives. */
#include <complex.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wide.h"

static long counter, kept, n_notes;
static unsigned long sum_of_notes;

int wide_add(int a, int b)
{
	return (int)((unsigned)a + 3u * (unsigned)b);
}

int8_t wide_i8(int8_t a, uint8_t b)
{
	return (int8_t)(a - b);
}

uint16_t wide_u16(uint16_t a, int16_t b)
{
	return (uint16_t)(a * 2 + b);
}

int32_t wide_i32(int32_t a, uint32_t b)
{
	return (int32_t)((uint32_t)a ^ b << 1);
}

uint64_t wide_u64(uint64_t a, int64_t b)
{
	return a * 7 - (uint64_t)b;
}

__int128 wide_i128(__int128 a, unsigned __int128 b)
{
	return (__int128)((unsigned __int128)a * 3 + b);
}

char wide_char(char a, signed char b, unsigned char c)
{
	return (char)(a + 2 * b + 3 * c);
}

bool wide_bool(bool a, bool b)
{
	return a && !b;
}

float wide_float(float a, float b)
{
	return a / b;
}

double wide_double(double a, float b)
{
	return a - 2 * (double)b;
}

long double wide_long_double(long double a, int b)
{
	return a / 3 + b;
}

_Complex double wide_complex(_Complex double a, _Complex float b)
{
	return a * b;
}

_Complex long double wide_complex_long(_Complex long double a)
{
	return conjl(a) / 3;
}

enum wide_shade wide_shade(enum wide_shade a, int b)
{
	return b ? a : WIDE_BRIGHT;
}

size_t wide_many(char a, short b, int c, long d, float e, double f, char g, uint64_t h, bool i, long double j, int k)
{
	return (size_t)(a + 2 * b + 3 * c + 5 * d + (long)(7 * e) + (long)(11 * f) + 13 * g + 17 * (long)h + 19 * i +
			(long)(23 * j) + 29 * k);
}

struct wide_point wide_middle(struct wide_point a, struct wide_point b)
{
	return (struct wide_point){(a.x + b.x) / 2, (a.y - b.y) / 2};
}

struct wide_padded wide_padded(struct wide_padded a, char b)
{
	a.c = (char)(a.c + b);
	a.i *= 2;
	a.inner[1].d += a.inner[0].d;
	a.inner[0].c = b;
	a.l = -a.l;
	return a;
}

struct wide_bits wide_bits(struct wide_bits a)
{
	a.a = (a.a + 1u) & 7u;
	a.b = -a.b;
	a.c ^= 0xff00fful;
	a.d = !a.d;
	return a;
}

struct wide_packed wide_packed(char before, struct wide_packed a)
{
	a.l += before;
	a.s = (short)(a.s - a.c);
	return a;
}

struct wide_aligned wide_aligned(char before, struct wide_aligned a)
{
	a.c[39] = (char)((uintptr_t)&a % 32 == 0 ? before : 'X');
	return a;
}

union wide_number wide_number(union wide_number a)
{
	a.bytes[11] ^= a.bytes[0];
	return a;
}

struct wide_big wide_big(struct wide_big a, int times)
{
	for (size_t i = 0; i < 1000; i++)
		a.words[i] *= (uint64_t)times;
	return a;
}

int wide_errno(int error)
{
	if (error)
		errno = error;
	return -error;
}

int wide_names(int conn, int frame, int r, int result, int ret_result, int arg)
{
	return conn + 2 * frame + 3 * r + 4 * result + 5 * ret_result + 6 * arg;
}

long wide_counter(void)
{
	return ++counter;
}

void wide_set(long value)
{
	kept = value;
}

long wide_get(void)
{
	return kept;
}

void wide_note(long value)
{
	sum_of_notes = sum_of_notes * 31 + (unsigned long)value; /* tells the order */
	n_notes++;
}

void wide_settle(void)
{
}

long wide_notes(void)
{
	return n_notes * 1000003 + (long)(sum_of_notes % 1000003);
}

int wide_again(int a)
{
	return a + 1;
}

int wide_on_stack(int a)
{
	return a - 1;
}

int wide_sleep(int ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&time, NULL);
	return ms;
}

int wide_by_hand(int a)
{
	return a * 100;
}

int wide_partly(int a, void *context, struct wide_point p)
{
	return a + (context ? 1000 : 0) + (int)p.x;
}
