/* Expressions of annotations, and how much a pointer points to.
 *
 * Both sides evaluate every expression themselves, on memory of their own wherever they do not trust the peer. */
#include "pass.h"

#include <string.h>

/* ---- expressions ------------------------------------------------------------------------------------------- */

static int64_t load(const unsigned char *at, int width)
{
	switch (width) {
	case 1:
		return *at;
	case -1:
		return (int8_t)*at;
	case 2:
	case -2: {
		uint16_t value;

		memcpy(&value, at, sizeof value);
		return width < 0 ? (int16_t)value : (int64_t)value;
	}
	case 4:
	case -4: {
		uint32_t value;

		memcpy(&value, at, sizeof value);
		return width < 0 ? (int32_t)value : (int64_t)value;
	}
	default: {
		int64_t value; /* the largest unsigned numbers come out below zero, and are refused as lengths */

		memcpy(&value, at, sizeof value);
		return value;
	}
	}
}

/* As many bytes as load() reads. */
static int width_size(int width)
{
	const int size = width < 0 ? -width : width;

	return size == 1 || size == 2 || size == 4 ? size : 8;
}

/* Where the pointer in a field points to on this side, and how much of that may be read. */
static const unsigned char *follow(const struct vmrpc__view *view, unsigned field, uint64_t *ret_size)
{
	if (field >= view->type->n_fields)
		return NULL;
	if (view->pieces && view->pieces[field].mine) {
		*ret_size = view->pieces[field].size;
		return view->pieces[field].mine;
	}
	return NULL;
}

static int add_up(const unsigned char *at, uint64_t size, int width, int64_t n, int64_t *ret_sum)
{
	const uint64_t step = (uint64_t)width_size(width);
	int64_t sum = 0;

	if (n < 0 || (uint64_t)n > size / step)
		return -EFAULT;
	for (int64_t i = 0; i < n; i++)
		if (__builtin_add_overflow(sum, load(at + (uint64_t)i * step, width), &sum))
			return -EOVERFLOW;
	*ret_sum = sum;
	return 0;
}

static bool is_zero(const unsigned char *at, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		if (at[i])
			return false;
	return true;
}

static int64_t string_length(const unsigned char *at, uint64_t size, unsigned width)
{
	const uint64_t max = size / (width ? width : 1);
	uint64_t n = 0;

	if (width <= 1)
		return (int64_t)strnlen((const char *)at, size > INT64_MAX ? INT64_MAX : size);
	while (n < max && !is_zero(at + n * width, width))
		n++;
	return (int64_t)n;
}

/* a op b into *ret. */
static int apply(unsigned op, int64_t a, int64_t b, int64_t *ret)
{
	switch (op) {
	case VMRPC_OP_ADD:
		return __builtin_add_overflow(a, b, ret) ? -EOVERFLOW : 0;
	case VMRPC_OP_SUB:
		return __builtin_sub_overflow(a, b, ret) ? -EOVERFLOW : 0;
	case VMRPC_OP_MUL:
		return __builtin_mul_overflow(a, b, ret) ? -EOVERFLOW : 0;
	case VMRPC_OP_DIV:
	case VMRPC_OP_REM:
		if (b == 0)
			return -EDOM;
		if (a == INT64_MIN && b == -1)
			return -EOVERFLOW;
		*ret = op == VMRPC_OP_DIV ? a / b : a % b;
		return 0;
	case VMRPC_OP_SHL:
		if (a < 0 || b < 0 || b > 62 || a > INT64_MAX >> b)
			return -EOVERFLOW;
		*ret = a << b;
		return 0;
	case VMRPC_OP_SHR:
		if (a < 0 || b < 0 || b > 63)
			return -EOVERFLOW;
		*ret = a >> b;
		return 0;
	case VMRPC_OP_AND:
		*ret = a & b;
		return 0;
	case VMRPC_OP_OR:
		*ret = a | b;
		return 0;
	case VMRPC_OP_XOR:
		*ret = a ^ b;
		return 0;
	case VMRPC_OP_EQ:
		*ret = a == b;
		return 0;
	case VMRPC_OP_NE:
		*ret = a != b;
		return 0;
	case VMRPC_OP_LT:
		*ret = a < b;
		return 0;
	case VMRPC_OP_GT:
		*ret = a > b;
		return 0;
	case VMRPC_OP_LE:
		*ret = a <= b;
		return 0;
	case VMRPC_OP_GE:
		*ret = a >= b;
		return 0;
	case VMRPC_OP_MIN:
		*ret = a < b ? a : b;
		return 0;
	case VMRPC_OP_MAX:
		*ret = a > b ? a : b;
		return 0;
	default:
		return -EINVAL;
	}
}

/* What takes a number off the stack and leaves another. */
static int apply_to_top(const struct vmrpc__view *view, unsigned op, int width, unsigned field, int32_t offset,
			int64_t *top)
{
	const unsigned char *at;
	uint64_t size = 0;
	int64_t start;

	switch (op) {
	case VMRPC_OP_NEG:
		return __builtin_sub_overflow(0, *top, top) ? -EOVERFLOW : 0;
	case VMRPC_OP_NOT:
		*top = !*top;
		return 0;
	case VMRPC_OP_INV:
		*top = ~*top;
		return 0;
	default:
		break;
	}
	at = follow(view, field, &size);
	if (!at)
		return -EFAULT;
	switch (op) {
	case VMRPC_OP_AT:
		if (__builtin_add_overflow(*top, (int64_t)offset, &start))
			return -EOVERFLOW;
		if (start < 0 || (uint64_t)start > size || size - (uint64_t)start < (uint64_t)width_size(width))
			return -EFAULT;
		*top = load(at + start, width);
		return 0;
	case VMRPC_OP_STRNLEN:
		if (*top < 0)
			return -EINVAL;
		if (__builtin_mul_overflow(*top, (int64_t)width_size(width), &start))
			return -EOVERFLOW;
		*top = string_length(at, (uint64_t)start < size ? (uint64_t)start : size, (unsigned)width_size(width));
		return 0;
	case VMRPC_OP_SUM:
		return add_up(at, size, width, *top, top);
	default:
		return -EINVAL;
	}
}

int vmrpc__evaluate(const struct vmrpc__view *view, const int64_t *code, int64_t *ret_value)
{
	int64_t stack[VMRPC_STACK_MAX];
	unsigned n = 0;
	int r = 0;

	for (;;) {
		const uint64_t word = (uint64_t)*code++;
		const unsigned op = word & 0xff, field = word >> 16 & 0xffff;
		const int width = (int8_t)(word >> 8);
		const int32_t offset = (int32_t)(word >> 32);

		if (n == VMRPC_STACK_MAX && (op == VMRPC_OP_CONST || op == VMRPC_OP_FIELD || op == VMRPC_OP_STRLEN))
			return -EINVAL;
		switch (op) {
		case VMRPC_OP_END:
			if (n != 1)
				return -EINVAL;
			*ret_value = stack[0];
			return 0;
		case VMRPC_OP_CONST:
			stack[n++] = *code++;
			break;
		case VMRPC_OP_FIELD:
			stack[n++] = load(view->base + offset, width);
			break;
		case VMRPC_OP_STRLEN: {
			uint64_t size = 0;
			const unsigned char *at = follow(view, field, &size);

			if (!at)
				return -EFAULT;
			stack[n++] = string_length(at, size, (unsigned)width_size(width));
			break;
		}
		case VMRPC_OP_JUMP:
			code += offset;
			break;
		case VMRPC_OP_JUMP_IF_ZERO:
			if (n < 1)
				return -EINVAL;
			if (!stack[--n])
				code += offset;
			break;
		case VMRPC_OP_AT:
		case VMRPC_OP_STRNLEN:
		case VMRPC_OP_SUM:
		case VMRPC_OP_NEG:
		case VMRPC_OP_NOT:
		case VMRPC_OP_INV:
			if (n < 1)
				return -EINVAL;
			r = apply_to_top(view, op, width, field, offset, &stack[n - 1]);
			break;
		default:
			if (n < 2)
				return -EINVAL;
			n--;
			r = apply(op, stack[n - 1], stack[n], &stack[n - 1]);
		}
		if (r < 0)
			return r;
	}
}

/* ---- extents --------------------------------------------------------------------------------------------------- */

static int to_bytes(int64_t n, uint64_t element, uint64_t *ret_bytes)
{
	if (n < 0)
		return -EINVAL;
	if (__builtin_mul_overflow((uint64_t)n, element, ret_bytes) || *ret_bytes > INT64_MAX)
		return -EMSGSIZE;
	return 0;
}

/* Bytes up to and with the zero element, or all limit. */
static uint64_t terminated_bytes(const unsigned char *at, uint64_t limit, unsigned element, bool *ret_found)
{
	const uint64_t n = (uint64_t)string_length(at, limit, element);

	*ret_found = limit / element > n;
	return *ret_found ? (n + 1) * element : n * element;
}

static int measure_string(const struct vmrpc__view *view, const struct vmrpc_pass *pass, const unsigned char *address,
			  uint64_t limit, uint64_t *ret_size)
{
	uint64_t max = limit;
	bool found;

	if (pass->extent == VMRPC_EXTENT_STRING_MAX) {
		int64_t n;
		int r = vmrpc__evaluate(view, pass->before, &n);

		if (r == 0)
			r = to_bytes(n, pass->size, &max);
		if (r < 0)
			return r;
		if (max > limit)
			max = limit; /* it may end before; if not, that is found below */
		*ret_size = terminated_bytes(address, max, pass->size, &found);
		return found || (uint64_t)n * pass->size <= limit ? 0 : -EFAULT;
	}
	*ret_size = terminated_bytes(address, max, pass->size, &found);
	return found ? 0 : -EFAULT;
}

static int measure_range(const struct vmrpc__view *view, const struct vmrpc_pass *pass, const unsigned char *address,
			 uint64_t *ret_from, uint64_t *ret_size)
{
	int64_t from, to;
	int r = vmrpc__evaluate(view, pass->before, &from);

	if (r == 0)
		r = vmrpc__evaluate(view, pass->after, &to);
	if (r < 0)
		return r;
	if (pass->extent == VMRPC_EXTENT_RANGE_TO) {
		if (__builtin_sub_overflow(from, (int64_t)(uintptr_t)address, &from) ||
		    __builtin_sub_overflow(to, (int64_t)(uintptr_t)address, &to) || from < 0 || to < from)
			return -EINVAL;
		*ret_from = (uint64_t)from;
		*ret_size = (uint64_t)(to - from);
		return 0;
	}
	if (from < 0 || to < from)
		return -EINVAL;
	r = to_bytes(from, pass->size, ret_from);
	return r < 0 ? r : to_bytes(to - from, pass->size, ret_size);
}

int vmrpc__measure(const struct vmrpc__view *view, const struct vmrpc_pass *pass, const unsigned char *address,
		   uint64_t limit, uint64_t *ret_from, uint64_t *ret_size)
{
	int64_t n = 1;
	int r = 0;

	*ret_from = 0;
	switch (pass->extent) {
	case VMRPC_EXTENT_STRING:
	case VMRPC_EXTENT_STRING_MAX:
		return measure_string(view, pass, address, limit, ret_size);
	case VMRPC_EXTENT_RANGE:
	case VMRPC_EXTENT_RANGE_TO:
		r = measure_range(view, pass, address, ret_from, ret_size);
		break;
	case VMRPC_EXTENT_END:
		r = vmrpc__evaluate(view, pass->before, &n);
		if (r == 0 && n < (int64_t)(uintptr_t)address)
			r = -EINVAL;
		if (r == 0)
			*ret_size = (uint64_t)n - (uintptr_t)address;
		break;
	case VMRPC_EXTENT_ONE:
		*ret_size = pass->size;
		break;
	default:
		r = vmrpc__evaluate(view, pass->before, &n);
		if (r == 0)
			r = to_bytes(n,
				     pass->extent == VMRPC_EXTENT_SIZE || pass->extent == VMRPC_EXTENT_SIZE_OUT
					     ? 1
					     : pass->size,
				     ret_size);
	}
	if (r == 0 && (*ret_from > limit || *ret_size > limit - *ret_from))
		r = -EFAULT;
	return r;
}

uint64_t vmrpc__measure_after(const struct vmrpc__view *view, const struct vmrpc_pass *pass,
			      const unsigned char *memory, uint64_t size)
{
	uint64_t bytes;
	int64_t n;
	bool found;

	switch (pass->extent) {
	case VMRPC_EXTENT_STRING_OUT:
		return terminated_bytes(memory, size, pass->size, &found);
	case VMRPC_EXTENT_COUNT_OUT:
	case VMRPC_EXTENT_SIZE_OUT:
		if (vmrpc__evaluate(view, pass->after, &n) < 0 ||
		    to_bytes(n, pass->extent == VMRPC_EXTENT_SIZE_OUT ? 1 : pass->size, &bytes) < 0 || bytes > size)
			return 0;
		return bytes;
	default:
		return size;
	}
}
