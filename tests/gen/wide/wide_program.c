/* Calls everything in wide.h and prints what comes back. It is linked twice: with the library, and with its stubs.
 * Both must print the same. */
#include <complex.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wide.h"

static uint64_t state = 88172645463325252u;

static uint64_t any(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static double fraction(void)
{
	return (double)(int64_t)any() / (double)(1 << 20);
}

static void print_bytes(const char *name, const void *bytes, size_t size)
{
	printf("%s", name);
	for (size_t i = 0; i < size; i++)
		printf("%s%02x", i % 16 ? "" : " ", ((const unsigned char *)bytes)[i]);
	printf("\n");
}

static void scalars(void)
{
	__int128 big = (__int128)((unsigned __int128)any() << 64 | any());

	big = wide_i128(big, (unsigned __int128)any() << 60);
	printf("add %d\n", wide_add((int)any(), (int)any()));
	printf("i8 %d\n", wide_i8((int8_t)any(), (uint8_t)any()));
	printf("u16 %d\n", wide_u16((uint16_t)any(), (int16_t)any()));
	printf("i32 %d\n", wide_i32((int32_t)any(), (uint32_t)any()));
	printf("u64 %" PRIu64 "\n", wide_u64(any(), (int64_t)any()));
	printf("i128 %" PRIx64 " %" PRIx64 "\n", (uint64_t)(big >> 64), (uint64_t)big);
	printf("char %d\n", wide_char((char)any(), (signed char)any(), (unsigned char)any()));
	printf("bool %d %d\n", wide_bool(true, false), wide_bool(true, true));
	printf("float %a\n", (double)wide_float((float)fraction(), (float)fraction()));
	printf("double %a\n", wide_double(fraction(), (float)fraction()));
	printf("long double %La\n", wide_long_double(fraction(), (int)any()));
	printf("shade %d %d\n", (int)wide_shade(WIDE_DAZZLING, 1), (int)wide_shade(WIDE_DARK, 0));
	printf("many %zu\n", wide_many(1, -2, 3, 4, 5.5f, 6.25, 7, 8, true, 10.5L, 11));
	printf("names %d\n", wide_names(1, 2, 3, 4, 5, 6));
}

static void complex_numbers(void)
{
	_Complex double a = fraction() + fraction() * I;
	_Complex float b = (float)fraction() + 2.5f * I;
	_Complex long double c = fraction() + 3.25L * I;

	a = wide_complex(a, b);
	c = wide_complex_long(c);
	printf("complex %a %a, %La %La\n", creal(a), cimag(a), creall(c), cimagl(c));
}

static void structs(void)
{
	struct wide_point middle = wide_middle((struct wide_point){fraction(), 2}, (struct wide_point){3, fraction()});
	struct wide_padded padded = {'a', (int)any() >> 2, 7, (long)any(), {{'x', fraction()}, {'y', 4}}};
	struct wide_bits bits = wide_bits((struct wide_bits){5, -100, any() & 0xffffffffff, true});
	struct wide_packed packed = wide_packed('b', (struct wide_packed){'c', (long)any() >> 9, -5});
	struct wide_aligned aligned;
	union wide_number number;
	static struct wide_big big;

	padded = wide_padded(padded, 'b');
	printf("middle %a %a\n", middle.x, middle.y);
	printf("padded %d %d %d %ld %d %a %d %a\n", padded.c, padded.i, padded.s, padded.l, padded.inner[0].c,
	       padded.inner[0].d, padded.inner[1].c, padded.inner[1].d);
	printf("bits %u %d %lu %d\n", bits.a, bits.b, (unsigned long)bits.c, bits.d);
	printf("packed %d %ld %d\n", packed.c, packed.l, packed.s);
	for (unsigned i = 0; i < sizeof aligned; i++)
		aligned.c[i % 40] = (char)any();
	memset(&number, 0, sizeof number);
	for (unsigned i = 0; i < 12; i++)
		number.bytes[i] = (unsigned char)any();
	aligned = wide_aligned('q', aligned);
	number = wide_number(number);
	print_bytes("aligned", aligned.c, sizeof aligned.c);
	print_bytes("number", number.bytes, sizeof number.bytes);
	for (unsigned i = 0; i < 1000; i++)
		big.words[i] = any();
	big = wide_big(big, 3);
	for (unsigned i = 1; i < 1000; i++)
		big.words[0] = big.words[0] * 31 + big.words[i];
	printf("big %" PRIx64 "\n", big.words[0]);
}

static void calls(void)
{
	errno = EDOM;
	printf("errno %d", wide_errno(ENOTTY));
	printf(" %d", errno);
	printf(" %d", wide_errno(0));
	printf(" %d\n", errno);
	wide_set(-5);
	printf("get %ld\n", wide_get());
	printf("counter %ld", wide_counter());
	printf(" %ld\n", wide_counter());
	for (long i = 0; i < 1000; i++)
		wide_note(i * i);
	wide_settle();
	printf("notes %ld\n", wide_notes());
	printf("again %d, on stack %d, by hand %d\n", wide_again(1), wide_on_stack(1), wide_by_hand(1));
	printf("partly %d\n", wide_partly(5, NULL, (struct wide_point){0, 0}));
}

int main(void)
{
	scalars();
	complex_numbers();
	structs();
	calls();
	return 0;
}
