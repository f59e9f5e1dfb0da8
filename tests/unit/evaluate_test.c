/* Expressions, and how much a pointer points to: every operator and every extent, with what is too much, too little or
 * nonsense. Memory ends where its page does, so that a byte too many is a crash. */
#include <sys/mman.h>

#include "pass/pass.h"
#include "test.h"

/* A copy, right before memory that nobody may touch. */
static unsigned char *fenced(const void *bytes, size_t size)
{
	const size_t page = 4096, room = (size + page - 1) / page * page;
	unsigned char *memory = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	CHECK_EQ(mprotect(memory + room, page, PROT_NONE), 0);
	if (size)
		memcpy(memory + room - size, bytes, size);
	return memory + room - size;
}
#define FENCED(array) fenced(array, sizeof(array))

/* A frame of some fields; those that are pointers have pieces. */
#define N_FIELDS 4
static const struct vmrpc_field fields[N_FIELDS];
static const struct vmrpc_type frame_type = {.fields = fields, .n_fields = N_FIELDS};
static int64_t frame[N_FIELDS];
static struct vmrpc__piece pieces[N_FIELDS];
static const struct vmrpc__view view = {(const unsigned char *)frame, pieces, &frame_type};

static void set_piece(unsigned field, unsigned char *at, uint64_t size)
{
	pieces[field] = (struct vmrpc__piece){.mine = at, .shared = at, .size = size};
}

#define CODE(...) ((const int64_t[]){__VA_ARGS__, VMRPC_DO(END)})
#define NUMBER(n) VMRPC_DO(CONST), (n)

static int64_t value_of(const int64_t *code)
{
	int64_t value = 77;
	int r = vmrpc__evaluate(&view, code, &value);

	if (r < 0)
		TEST_FAIL("an expression fails with %d", r);
	return value;
}

static int error_of(const int64_t *code)
{
	int64_t value = 77;
	int r = vmrpc__evaluate(&view, code, &value);

	CHECK_EQ(value, 77); /* untouched on failure */
	CHECK(r < 0);
	return r;
}

#define BINARY(a, op, b)       value_of(CODE(NUMBER(a), NUMBER(b), VMRPC_DO(op)))
#define BINARY_ERROR(a, op, b) error_of(CODE(NUMBER(a), NUMBER(b), VMRPC_DO(op)))

TEST(arithmetic)
{
	CHECK_EQ(BINARY(2, ADD, 3), 5);
	CHECK_EQ(BINARY(2, SUB, 3), -1);
	CHECK_EQ(BINARY(-4, MUL, 3), -12);
	CHECK_EQ(BINARY(-7, DIV, 2), -3);
	CHECK_EQ(BINARY(-7, REM, 2), -1);
	CHECK_EQ(BINARY(5, SHL, 3), 40);
	CHECK_EQ(BINARY(1, SHL, 62), INT64_C(1) << 62);
	CHECK_EQ(BINARY(40, SHR, 3), 5);
	CHECK_EQ(BINARY(INT64_MAX, SHR, 63), 0);
	CHECK_EQ(BINARY(12, AND, 10), 8);
	CHECK_EQ(BINARY(12, OR, 10), 14);
	CHECK_EQ(BINARY(12, XOR, 10), 6);
	CHECK_EQ(BINARY(3, MIN, -4), -4);
	CHECK_EQ(BINARY(3, MAX, -4), 3);
	CHECK_EQ(value_of(CODE(NUMBER(3), VMRPC_DO(NEG))), -3);
	CHECK_EQ(value_of(CODE(NUMBER(3), VMRPC_DO(NOT))), 0);
	CHECK_EQ(value_of(CODE(NUMBER(0), VMRPC_DO(NOT))), 1);
	CHECK_EQ(value_of(CODE(NUMBER(3), VMRPC_DO(INV))), -4);
}

TEST(comparisons)
{
	static const int64_t numbers[] = {INT64_MIN, -1, 0, 1, INT64_MAX};

	for (unsigned i = 0; i < 5; i++)
		for (unsigned j = 0; j < 5; j++) {
			CHECK_EQ(BINARY(numbers[i], EQ, numbers[j]), i == j);
			CHECK_EQ(BINARY(numbers[i], NE, numbers[j]), i != j);
			CHECK_EQ(BINARY(numbers[i], LT, numbers[j]), i < j);
			CHECK_EQ(BINARY(numbers[i], GT, numbers[j]), i > j);
			CHECK_EQ(BINARY(numbers[i], LE, numbers[j]), i <= j);
			CHECK_EQ(BINARY(numbers[i], GE, numbers[j]), i >= j);
		}
}

TEST(overflow)
{
	CHECK_EQ(BINARY_ERROR(INT64_MAX, ADD, 1), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(INT64_MIN, ADD, -1), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(INT64_MIN, SUB, 1), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(0, SUB, INT64_MIN), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(INT64_MAX, MUL, 2), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(INT64_C(1) << 32, MUL, INT64_C(1) << 32), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(INT64_MIN, MUL, -1), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(INT64_MIN, DIV, -1), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(INT64_MIN, REM, -1), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(1, SHL, 63), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(2, SHL, 62), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(1, SHL, -1), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(1, SHL, 64), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(1, SHL, INT64_MAX), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(-1, SHL, 1), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(1, SHR, 64), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(1, SHR, -1), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(-1, SHR, 1), -EOVERFLOW);
	CHECK_EQ(error_of(CODE(NUMBER(INT64_MIN), VMRPC_DO(NEG))), -EOVERFLOW);
	CHECK_EQ(BINARY_ERROR(1, DIV, 0), -EDOM);
	CHECK_EQ(BINARY_ERROR(1, REM, 0), -EDOM);
}

TEST(numbers_from_the_frame)
{
	static const int64_t ones = -1;

	memcpy(frame, &ones, 8);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(FIELD, 1, 0, 0))), 255);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(FIELD, -1, 0, 0))), -1);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(FIELD, 2, 0, 4))), 65535);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(FIELD, -2, 0, 4))), -1);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(FIELD, 4, 0, 4))), UINT32_MAX);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(FIELD, -4, 0, 4))), -1);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(FIELD, -8, 0, 0))), -1);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(FIELD, 8, 0, 0))), -1); /* no length */
	frame[3] = 42;
	CHECK_EQ(value_of(CODE(VMRPC_CODE(FIELD, 8, 3, 24))), 42);
}

/* *(p + offset) */
#define AT(width, field, index, offset) CODE(NUMBER(index), VMRPC_CODE(AT, width, field, offset))

TEST(what_pointers_point_to)
{
	unsigned char bytes[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0xff};

	set_piece(1, FENCED(bytes), sizeof bytes);
	CHECK_EQ(value_of(AT(1, 1, 0, 0)), 1);
	CHECK_EQ(value_of(AT(1, 1, 0, 11)), 0xff);
	CHECK_EQ(value_of(AT(-1, 1, 11, 0)), -1);
	CHECK_EQ(value_of(AT(4, 1, 4, 4)), 0xff0b0a09);
	CHECK_EQ(value_of(AT(1, 1, 12, -1)), 0xff);
	CHECK_EQ(value_of(AT(8, 1, 4, 0)), (int64_t)0xff0b0a0908070605);
	CHECK_EQ(error_of(AT(1, 1, 12, 0)), -EFAULT);
	CHECK_EQ(error_of(AT(2, 1, 11, 0)), -EFAULT);
	CHECK_EQ(error_of(AT(4, 1, 9, 0)), -EFAULT);
	CHECK_EQ(error_of(AT(8, 1, 0, 5)), -EFAULT);
	CHECK_EQ(error_of(AT(1, 1, 0, -1)), -EFAULT);
	CHECK_EQ(error_of(AT(1, 1, -1, 0)), -EFAULT);
	CHECK_EQ(error_of(AT(1, 1, INT64_MIN, -1)), -EOVERFLOW);
	CHECK_EQ(error_of(AT(1, 1, INT64_MAX, 1)), -EOVERFLOW);
	CHECK_EQ(error_of(AT(1, 1, INT64_MAX, 0)), -EFAULT);
	CHECK_EQ(error_of(AT(8, 1, INT64_MIN, 0)), -EFAULT);
	CHECK_EQ(error_of(AT(1, 2, 0, 0)), -EFAULT);	    /* NULL */
	CHECK_EQ(error_of(AT(1, N_FIELDS, 0, 0)), -EFAULT); /* no such field */
	CHECK_EQ(error_of(AT(1, 0xffff, 0, 0)), -EFAULT);
	/* A width that is none reads 8 bytes, and no more than there are. */
	CHECK_EQ(error_of(AT(0, 1, 5, 0)), -EFAULT);
	CHECK_EQ(error_of(AT(3, 1, 5, 0)), -EFAULT);
	CHECK_EQ(error_of(AT(-128, 1, 5, 0)), -EFAULT);
}

TEST(strings_and_sums)
{
	static const uint32_t wide[] = {'a', 0x100, 0x10000, 0, 'x'};
	static const uint16_t open16[] = {0x100, 0x200, 3};
	static const int32_t numbers[] = {5, -3, INT32_MAX};
	static const int64_t large[] = {INT64_MAX, 1, INT64_MIN};
	unsigned char *at;

	set_piece(1, fenced("hello", 6), 6);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(STRLEN, 1, 1, 0))), 5);
	CHECK_EQ(value_of(CODE(NUMBER(3), VMRPC_CODE(STRNLEN, 1, 1, 0))), 3);
	CHECK_EQ(value_of(CODE(NUMBER(0), VMRPC_CODE(STRNLEN, 1, 1, 0))), 0);
	CHECK_EQ(value_of(CODE(NUMBER(99), VMRPC_CODE(STRNLEN, 1, 1, 0))), 5);
	CHECK_EQ(error_of(CODE(NUMBER(-1), VMRPC_CODE(STRNLEN, 1, 1, 0))), -EINVAL);
	set_piece(1, fenced("hello", 5), 5); /* no end */
	CHECK_EQ(value_of(CODE(VMRPC_CODE(STRLEN, 1, 1, 0))), 5);
	CHECK_EQ(value_of(CODE(NUMBER(INT64_MAX), VMRPC_CODE(STRNLEN, 1, 1, 0))), 5);
	set_piece(1, FENCED(wide), sizeof wide);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(STRLEN, 4, 1, 0))), 3);
	CHECK_EQ(error_of(CODE(NUMBER(INT64_MAX / 2), VMRPC_CODE(STRNLEN, 4, 1, 0))), -EOVERFLOW);
	set_piece(1, FENCED(open16), sizeof open16);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(STRLEN, 2, 1, 0))), 3);
	set_piece(1, FENCED(open16), sizeof open16 - 1); /* half an element */
	CHECK_EQ(value_of(CODE(VMRPC_CODE(STRLEN, 2, 1, 0))), 2);
	CHECK_EQ(error_of(CODE(VMRPC_CODE(STRLEN, 1, 2, 0))), -EFAULT);
	CHECK_EQ(error_of(CODE(NUMBER(1), VMRPC_CODE(STRNLEN, 1, 2, 0))), -EFAULT);

	at = FENCED(numbers);
	set_piece(1, at, sizeof numbers);
	CHECK_EQ(value_of(CODE(NUMBER(0), VMRPC_CODE(SUM, -4, 1, 0))), 0);
	CHECK_EQ(value_of(CODE(NUMBER(2), VMRPC_CODE(SUM, -4, 1, 0))), 2);
	CHECK_EQ(value_of(CODE(NUMBER(3), VMRPC_CODE(SUM, -4, 1, 0))), 2 + (int64_t)INT32_MAX);
	CHECK_EQ(error_of(CODE(NUMBER(4), VMRPC_CODE(SUM, -4, 1, 0))), -EFAULT);
	CHECK_EQ(error_of(CODE(NUMBER(-1), VMRPC_CODE(SUM, -4, 1, 0))), -EFAULT);
	CHECK_EQ(error_of(CODE(NUMBER(INT64_MAX), VMRPC_CODE(SUM, -4, 1, 0))), -EFAULT);
	CHECK_EQ(error_of(CODE(NUMBER(INT64_C(1) << 62), VMRPC_CODE(SUM, -4, 1, 0))), -EFAULT);
	CHECK_EQ(error_of(CODE(NUMBER(1), VMRPC_CODE(SUM, -4, 2, 0))), -EFAULT);
	set_piece(1, at, sizeof numbers - 1);
	CHECK_EQ(error_of(CODE(NUMBER(3), VMRPC_CODE(SUM, -4, 1, 0))), -EFAULT);
	CHECK_EQ(error_of(CODE(NUMBER(2), VMRPC_CODE(SUM, 0, 1, 0))), -EFAULT);
	set_piece(1, FENCED(large), sizeof large);
	CHECK_EQ(value_of(CODE(NUMBER(1), VMRPC_CODE(SUM, 8, 1, 0))), INT64_MAX);
	CHECK_EQ(error_of(CODE(NUMBER(2), VMRPC_CODE(SUM, 8, 1, 0))), -EOVERFLOW);
}

/* condition ? 10 : 20 */
static int64_t choose(int64_t condition)
{
	return value_of(CODE(NUMBER(condition), VMRPC_CODE(JUMP_IF_ZERO, 0, 0, 3), NUMBER(10),
			     VMRPC_CODE(JUMP, 0, 0, 2), NUMBER(20)));
}

TEST(jumps)
{
	CHECK_EQ(choose(1), 10);
	CHECK_EQ(choose(-1), 10);
	CHECK_EQ(choose(0), 20);
	CHECK_EQ(value_of(CODE(VMRPC_CODE(JUMP, 0, 0, 2), NUMBER(1), NUMBER(2))), 2);
	CHECK_EQ(error_of(CODE(VMRPC_CODE(JUMP_IF_ZERO, 0, 0, 0))), -EINVAL); /* nothing to look at */
}

/* 1 + (1 + (1 + ...)), depth of them at a time. */
static int add_deeply(unsigned depth, int64_t *ret_value)
{
	int64_t code[4 * VMRPC_STACK_MAX + 8], *next = code;

	for (unsigned i = 0; i < depth; i++) {
		*next++ = VMRPC_DO(CONST);
		*next++ = 1;
	}
	for (unsigned i = 1; i < depth; i++)
		*next++ = VMRPC_DO(ADD);
	*next = VMRPC_DO(END);
	return vmrpc__evaluate(&view, code, ret_value);
}

TEST(the_stack_has_an_end)
{
	int64_t value = 77;

	CHECK_EQ(add_deeply(VMRPC_STACK_MAX, &value), 0);
	CHECK_EQ(value, VMRPC_STACK_MAX);
	CHECK_EQ(add_deeply(VMRPC_STACK_MAX + 1, &value), -EINVAL);
	for (unsigned op = 0; op < 2; op++) { /* the other two that put one more there */
		int64_t code[2 * VMRPC_STACK_MAX + 2], *next = code;

		set_piece(1, fenced("", 1), 1);
		for (unsigned i = 0; i < VMRPC_STACK_MAX; i++) {
			*next++ = VMRPC_DO(CONST);
			*next++ = 1;
		}
		*next++ = op ? VMRPC_CODE(FIELD, 8, 0, 0) : VMRPC_CODE(STRLEN, 1, 1, 0);
		*next = VMRPC_DO(END);
		CHECK_EQ(error_of(code), -EINVAL);
	}
}

TEST(broken_code)
{
	CHECK_EQ(error_of((const int64_t[]){VMRPC_DO(END)}), -EINVAL);
	CHECK_EQ(error_of(CODE(NUMBER(1), NUMBER(2))), -EINVAL);
	CHECK_EQ(error_of(CODE(NUMBER(1), VMRPC_DO(ADD))), -EINVAL);
	CHECK_EQ(error_of(CODE(VMRPC_DO(ADD))), -EINVAL);
	CHECK_EQ(error_of(CODE(VMRPC_DO(NEG))), -EINVAL);
	CHECK_EQ(error_of(CODE(VMRPC_CODE(AT, 1, 1, 0))), -EINVAL);
	CHECK_EQ(error_of(CODE(VMRPC_CODE(SUM, 1, 1, 0))), -EINVAL);
	CHECK_EQ(error_of(CODE(NUMBER(1), NUMBER(1), 0xff)), -EINVAL); /* no such operation */
	CHECK_EQ(error_of(CODE(NUMBER(1), NUMBER(1), 99)), -EINVAL);
}

/* ---- extents --------------------------------------------------------------------------------------------------- */

static uint64_t from, size;

static int measure(const struct vmrpc_pass *pass, const unsigned char *address, uint64_t limit)
{
	from = size = 7777;
	return vmrpc__measure(&view, pass, address, limit, &from, &size);
}

#define PASS(kind, element, ...) \
	((const struct vmrpc_pass){.extent = VMRPC_EXTENT_##kind, .size = (element), __VA_ARGS__})
#define BEFORE(n) .before = CODE(NUMBER(n))
#define AFTER(n)  .after = CODE(NUMBER(n))

/* measure() gives this. */
#define MEASURES(pass, address, limit, expected_from, expected_size) \
	do {                                                         \
		CHECK_EQ(measure(pass, address, limit), 0);          \
		CHECK_EQ(from, expected_from);                       \
		CHECK_EQ(size, expected_size);                       \
	} while (0)

TEST(counts_and_sizes)
{
	unsigned char *at = fenced("", 0);
	static const uint8_t counts[] = {VMRPC_EXTENT_COUNT, VMRPC_EXTENT_COUNT_OUT, VMRPC_EXTENT_STRING_OUT};
	static const uint8_t sizes[] = {VMRPC_EXTENT_SIZE, VMRPC_EXTENT_SIZE_OUT};

	MEASURES(&PASS(ONE, 12), at, 12, 0, 12);
	CHECK_EQ(measure(&PASS(ONE, 12), at, 11), -EFAULT);
	CHECK_EQ(measure(&PASS(ONE, 12), at, 0), -EFAULT);
	for (unsigned i = 0; i < sizeof counts; i++) {
		struct vmrpc_pass pass = {.extent = counts[i], .size = 4};

		pass.before = CODE(NUMBER(3));
		MEASURES(&pass, at, 12, 0, 12);
		MEASURES(&pass, at, 1000, 0, 12);
		CHECK_EQ(measure(&pass, at, 11), -EFAULT);
		pass.before = CODE(NUMBER(0));
		MEASURES(&pass, at, 0, 0, 0);
		pass.before = CODE(NUMBER(-1));
		CHECK_EQ(measure(&pass, at, UINT64_MAX >> 1), -EINVAL);
		pass.before = CODE(NUMBER(INT64_MIN));
		CHECK_EQ(measure(&pass, at, UINT64_MAX >> 1), -EINVAL);
		pass.before = CODE(NUMBER(INT64_MAX));
		CHECK_EQ(measure(&pass, at, UINT64_MAX >> 1), -EMSGSIZE);
		pass.before = CODE(NUMBER((INT64_C(1) << 62) + 1)); /* 4 times that is 4 again */
		CHECK_EQ(measure(&pass, at, UINT64_MAX >> 1), -EMSGSIZE);
		pass.before = CODE(NUMBER(INT64_C(1) << 61)); /* and half of all there is */
		CHECK_EQ(measure(&pass, at, UINT64_MAX >> 1), -EMSGSIZE);
		pass.before = CODE(NUMBER(INT64_MAX / 4));
		CHECK_EQ(measure(&pass, at, 1 << 20), -EFAULT);
		pass.before = CODE(NUMBER(1), NUMBER(0), VMRPC_DO(DIV));
		CHECK_EQ(measure(&pass, at, 12), -EDOM);
	}
	for (unsigned i = 0; i < sizeof sizes; i++) {
		struct vmrpc_pass pass = {.extent = sizes[i], .size = 4};

		pass.before = CODE(NUMBER(3));
		MEASURES(&pass, at, 3, 0, 3);
		CHECK_EQ(measure(&pass, at, 2), -EFAULT);
		pass.before = CODE(NUMBER(-1));
		CHECK_EQ(measure(&pass, at, UINT64_MAX >> 1), -EINVAL);
		pass.before = CODE(NUMBER(INT64_MAX));
		CHECK_EQ(measure(&pass, at, (UINT64_MAX >> 1) - 1), -EFAULT);
	}
}

TEST(strings_end_in_time)
{
	static const uint32_t wide[] = {'a', 0x100, 0};
	static const struct {
		uint64_t a, b, c;
	} structs[] = {{1, 0, 0}, {0, 0, 2}, {0, 0, 0}};
	unsigned char *at = fenced("hello", 6);

	MEASURES(&PASS(STRING, 1), at, 6, 0, 6);
	CHECK_EQ(measure(&PASS(STRING, 1), at, 5), -EFAULT);
	CHECK_EQ(measure(&PASS(STRING, 1), at, 0), -EFAULT);
	MEASURES(&PASS(STRING, 1), at + 5, 1, 0, 1);
	CHECK_EQ(measure(&PASS(STRING, 1), at + 6, 0), -EFAULT);
	at = FENCED(wide);
	MEASURES(&PASS(STRING, 4), at, sizeof wide, 0, 12);
	CHECK_EQ(measure(&PASS(STRING, 4), at, sizeof wide - 1), -EFAULT);
	/* Elements larger than any number. */
	at = FENCED(structs);
	MEASURES(&PASS(STRING, 24), at, sizeof structs, 0, sizeof structs);
	CHECK_EQ(measure(&PASS(STRING, 24), at, sizeof structs - 1), -EFAULT);

	at = fenced("hello", 5); /* no end */
	CHECK_EQ(measure(&PASS(STRING, 1), at, 5), -EFAULT);
	MEASURES(&PASS(STRING_MAX, 1, BEFORE(5)), at, 5, 0, 5);
	MEASURES(&PASS(STRING_MAX, 1, BEFORE(3)), at, 5, 0, 3);
	MEASURES(&PASS(STRING_MAX, 1, BEFORE(0)), at, 5, 0, 0);
	MEASURES(&PASS(STRING_MAX, 1, BEFORE(0)), at + 5, 0, 0, 0);
	CHECK_EQ(measure(&PASS(STRING_MAX, 1, BEFORE(6)), at, 5), -EFAULT);
	CHECK_EQ(measure(&PASS(STRING_MAX, 1, BEFORE(INT64_MAX)), at, 5), -EFAULT);
	CHECK_EQ(measure(&PASS(STRING_MAX, 1, BEFORE(-1)), at, 5), -EINVAL);
	CHECK_EQ(measure(&PASS(STRING_MAX, 4, BEFORE(INT64_MAX)), at, 5), -EMSGSIZE);
	at = fenced("hi", 3);
	MEASURES(&PASS(STRING_MAX, 1, BEFORE(1000)), at, 3, 0, 3); /* it ends before */
	MEASURES(&PASS(STRING_MAX, 1, BEFORE(2)), at, 3, 0, 2);
}

TEST(ends_by_address)
{
	unsigned char *at = fenced("hello", 5);
	const int64_t address = (int64_t)(uintptr_t)at;

	MEASURES(&PASS(END, 1, BEFORE(address + 5)), at, 5, 0, 5);
	MEASURES(&PASS(END, 1, BEFORE(address)), at, 0, 0, 0);
	CHECK_EQ(measure(&PASS(END, 1, BEFORE(address + 6)), at, 5), -EFAULT);
	CHECK_EQ(measure(&PASS(END, 1, BEFORE(address - 1)), at, 5), -EINVAL);
	CHECK_EQ(measure(&PASS(END, 1, BEFORE(0)), at, 5), -EINVAL);
	CHECK_EQ(measure(&PASS(END, 1, BEFORE(-1)), at, 5), -EINVAL);
	CHECK_EQ(measure(&PASS(END, 1, BEFORE(INT64_MIN)), at, 5), -EINVAL);
	CHECK_EQ(measure(&PASS(END, 1, BEFORE(INT64_MAX)), at, 5), -EFAULT);
	/* Where a client says that it sees the region is its own business. */
	CHECK_EQ(measure(&PASS(END, 1, BEFORE(INT64_MAX)), (const unsigned char *)(uintptr_t)INT64_MIN, 5), -EFAULT);
	CHECK_EQ(measure(&PASS(END, 1, BEFORE(INT64_MIN)), (const unsigned char *)(uintptr_t)INT64_MAX, 5), -EINVAL);
}

TEST(ranges)
{
	unsigned char *at = fenced("hello", 5);
	const int64_t address = (int64_t)(uintptr_t)at;

	MEASURES(&PASS(RANGE, 4, BEFORE(2), AFTER(5)), at, 20, 8, 12);
	MEASURES(&PASS(RANGE, 4, BEFORE(5), AFTER(5)), at, 20, 20, 0);
	CHECK_EQ(measure(&PASS(RANGE, 4, BEFORE(2), AFTER(5)), at, 19), -EFAULT);
	CHECK_EQ(measure(&PASS(RANGE, 4, BEFORE(6), AFTER(6)), at, 20), -EFAULT);
	CHECK_EQ(measure(&PASS(RANGE, 4, BEFORE(-1), AFTER(5)), at, 20), -EINVAL);
	CHECK_EQ(measure(&PASS(RANGE, 4, BEFORE(3), AFTER(2)), at, 20), -EINVAL);
	CHECK_EQ(measure(&PASS(RANGE, 4, BEFORE(0), AFTER(-1)), at, 20), -EINVAL);
	CHECK_EQ(measure(&PASS(RANGE, 4, BEFORE(0), AFTER(INT64_MIN)), at, 20), -EINVAL);
	CHECK_EQ(measure(&PASS(RANGE, 4, BEFORE(INT64_MAX), AFTER(INT64_MAX)), at, 20), -EMSGSIZE);
	CHECK_EQ(measure(&PASS(RANGE, 4, BEFORE(0), AFTER(INT64_MAX)), at, 20), -EMSGSIZE);
	CHECK_EQ(measure(&PASS(RANGE, 1, BEFORE(INT64_MAX), AFTER(INT64_MAX)), at, 20), -EFAULT);
	CHECK_EQ(measure(&PASS(RANGE, 1, BEFORE(1), AFTER(INT64_MAX)), at, UINT64_MAX >> 1), 0);
	CHECK_EQ(measure(&PASS(RANGE, 1, BEFORE(1), .after = CODE(VMRPC_DO(ADD))), at, 20), -EINVAL);

	MEASURES(&PASS(RANGE_TO, 1, BEFORE(address + 2), AFTER(address + 5)), at, 5, 2, 3);
	MEASURES(&PASS(RANGE_TO, 1, BEFORE(address), AFTER(address)), at, 5, 0, 0);
	CHECK_EQ(measure(&PASS(RANGE_TO, 1, BEFORE(address + 2), AFTER(address + 6)), at, 5), -EFAULT);
	CHECK_EQ(measure(&PASS(RANGE_TO, 1, BEFORE(address - 1), AFTER(address + 5)), at, 5), -EINVAL);
	CHECK_EQ(measure(&PASS(RANGE_TO, 1, BEFORE(address + 3), AFTER(address + 2)), at, 5), -EINVAL);
	CHECK_EQ(measure(&PASS(RANGE_TO, 1, BEFORE(INT64_MIN), AFTER(address)), at, 5), -EINVAL);
	CHECK_EQ(measure(&PASS(RANGE_TO, 1, BEFORE(address), AFTER(INT64_MIN)), at, 5), -EINVAL);
	CHECK_EQ(
		measure(&PASS(RANGE_TO, 1, BEFORE(INT64_MAX), AFTER(INT64_MAX)), (const unsigned char *)UINTPTR_MAX, 5),
		-EINVAL);
}

static uint64_t after(const struct vmrpc_pass *pass, const unsigned char *memory, uint64_t bytes)
{
	return vmrpc__measure_after(&view, pass, memory, bytes);
}

TEST(what_counts_after_the_call)
{
	static const uint32_t wide[] = {'a', 0, 'b'};
	unsigned char *at = fenced("hello\0xyz", 9);

	CHECK_EQ(after(&PASS(COUNT, 4), at, 8), 8);
	CHECK_EQ(after(&PASS(STRING, 1), at, 6), 6);
	CHECK_EQ(after(&PASS(STRING_OUT, 1), at, 9), 6);
	CHECK_EQ(after(&PASS(STRING_OUT, 1), at, 5), 5);
	CHECK_EQ(after(&PASS(STRING_OUT, 1), at + 9, 0), 0);
	CHECK_EQ(after(&PASS(STRING_OUT, 4), FENCED(wide), 12), 8);

	CHECK_EQ(after(&PASS(COUNT_OUT, 4, AFTER(2)), at, 8), 8);
	CHECK_EQ(after(&PASS(COUNT_OUT, 4, AFTER(0)), at, 8), 0);
	CHECK_EQ(after(&PASS(COUNT_OUT, 4, AFTER(3)), at, 8), 0);
	CHECK_EQ(after(&PASS(COUNT_OUT, 4, AFTER(-1)), at, 8), 0);
	CHECK_EQ(after(&PASS(COUNT_OUT, 4, AFTER(INT64_MIN)), at, 8), 0);
	CHECK_EQ(after(&PASS(COUNT_OUT, 4, AFTER((INT64_C(1) << 62) + 1)), at, 8), 0);
	CHECK_EQ(after(&PASS(COUNT_OUT, 4, AFTER(INT64_MAX)), at, 8), 0);
	CHECK_EQ(after(&PASS(COUNT_OUT, 4, .after = CODE(NUMBER(1), NUMBER(0), VMRPC_DO(REM))), at, 8), 0);
	CHECK_EQ(after(&PASS(SIZE_OUT, 4, AFTER(3)), at, 8), 3);
	CHECK_EQ(after(&PASS(SIZE_OUT, 4, AFTER(8)), at, 8), 8);
	CHECK_EQ(after(&PASS(SIZE_OUT, 4, AFTER(9)), at, 8), 0);
	CHECK_EQ(after(&PASS(SIZE_OUT, 4, AFTER(-8)), at, 8), 0);
}

TEST_MAIN()
