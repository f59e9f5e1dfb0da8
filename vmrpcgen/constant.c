/* Names in annotations whose values only the compiler knows: macros, and enum constants of the header. */
#include <string.h>

#include "stages.h"

static struct constant *constants;
static unsigned n_constants;
static const char **wanted;
static unsigned n_wanted;

struct constant *find_constant(const char *name)
{
	for (unsigned i = 0; i < n_constants; i++)
		if (strcmp(constants[i].name, name) == 0)
			return &constants[i];
	return NULL;
}

void set_constant(const char *name, int64_t value)
{
	struct constant new = {name, value};

	if (!find_constant(name))
		APPEND(constants, n_constants, new);
}

void want_constant(const char *name)
{
	for (unsigned i = 0; i < n_wanted; i++)
		if (strcmp(wanted[i], name) == 0)
			return;
	APPEND(wanted, n_wanted, name);
}

const char **wanted_constants(unsigned *ret_n)
{
	*ret_n = n_wanted;
	return wanted;
}

static bool apply(const char *op, int64_t a, int64_t b, int64_t *ret)
{
	if (strcmp(op, "+") == 0)
		return !__builtin_add_overflow(a, b, ret);
	if (strcmp(op, "-") == 0)
		return !__builtin_sub_overflow(a, b, ret);
	if (strcmp(op, "*") == 0)
		return !__builtin_mul_overflow(a, b, ret);
	if (*op == '/' || *op == '%') {
		if (b == 0 || (a == INT64_MIN && b == -1))
			return false;
		*ret = *op == '/' ? a / b : a % b;
		return true;
	}
	if (strcmp(op, "<<") == 0) {
		if (a < 0 || b < 0 || b > 62 || a > INT64_MAX >> b)
			return false;
		*ret = a << b;
		return true;
	}
	if (strcmp(op, ">>") == 0) {
		if (a < 0 || b < 0 || b > 63)
			return false;
		*ret = a >> b;
		return true;
	}
	*ret = strcmp(op, "&") == 0    ? a & b
	       : strcmp(op, "|") == 0  ? a | b
	       : strcmp(op, "^") == 0  ? a ^ b
	       : strcmp(op, "==") == 0 ? a == b
	       : strcmp(op, "!=") == 0 ? a != b
	       : strcmp(op, "<=") == 0 ? a <= b
	       : strcmp(op, ">=") == 0 ? a >= b
	       : strcmp(op, "<") == 0  ? a < b
	       : strcmp(op, ">") == 0  ? a > b
	       : strcmp(op, "&&") == 0 ? a && b
				       : a || b;
	return true;
}

/* False where the value is not known before a call, or does not fit 64 bits. */
bool constant_value(const struct expr *expr, int64_t *ret_value)
{
	const struct constant *constant;
	int64_t a, b;

	switch (expr->op) {
	case EXPR_NUMBER:
		*ret_value = expr->value;
		return true;
	case EXPR_NAME:
		constant = expr->value_of ? NULL : find_constant(expr->name);
		if (constant)
			*ret_value = constant->value;
		return constant != NULL;
	case EXPR_UNARY:
		if (*expr->name == '*' || *expr->name == '&' || !constant_value(expr->operands[0], &a))
			return false;
		*ret_value = *expr->name == '!'	  ? !a
			     : *expr->name == '~' ? ~a
			     : *expr->name == '-' ? (int64_t) - (uint64_t)a
						  : a;
		return true;
	case EXPR_BINARY:
		return constant_value(expr->operands[0], &a) && constant_value(expr->operands[1], &b) &&
		       apply(expr->name, a, b, ret_value);
	case EXPR_CONDITION:
		return constant_value(expr->operands[0], &a) && constant_value(expr->operands[a ? 1 : 2], ret_value);
	default:
		return false;
	}
}
