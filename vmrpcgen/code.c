/* Expressions of annotations as words for the runtime's evaluator (VMRPC_OP_* in describe.h). */
#include <string.h>

#include "stages.h"

struct compiler {
	const struct note *note;
	const struct service *service;
	struct function *function;
	struct plan *plan; /* whose needs grow; NULL: nobody's */
	struct code *code;
	bool failed;
};

/* What * -> . and [] lead to: memory behind a parameter, or part of the frame. */
struct spot {
	struct value *param;
	struct type *type;
	uint64_t offset;
	bool is_behind;	 /* the pointer that param is */
	bool is_indexed; /* a number of bytes to add is on the stack */
};

static void compile(struct compiler *compiler, const struct expr *expr);

static void fail(struct compiler *compiler, const char *what)
{
	if (!compiler->failed)
		error(compiler->note->at, NULL, "%s, which is not carried yet, in %s", what, note_text(compiler->note));
	compiler->failed = true;
}

static void add_word(struct compiler *compiler, const char *word)
{
	APPEND(compiler->code->words, compiler->code->n, word);
}

static void add_constant(struct compiler *compiler, const char *value)
{
	add_word(compiler, "VMRPC_DO(CONST)");
	add_word(compiler, value);
}

static void need(struct compiler *compiler, struct value *param)
{
	struct plan *plan = compiler->plan;

	for (unsigned i = 0; plan && i < plan->n_needs; i++)
		if (plan->needs[i] == param)
			return;
	if (plan)
		APPEND(plan->needs, plan->n_needs, param);
}

static struct value *find_param(const struct function *function, const char *name)
{
	const struct signature *signature = function->signature;

	for (unsigned i = 0; i < signature->n_params; i++)
		if (strcmp(signature->params[i]->name, name) == 0 || same(signature->params[i]->other_name, name))
			return signature->params[i];
	return strcmp(name, "result") == 0 && has_result(function) ? signature->result : NULL;
}

static struct value *find_field(const struct record *record, const char *name, uint64_t *offset)
{
	for (unsigned i = 0; i < record->n_fields; i++) {
		struct value *field = record->fields[i], *found = NULL;
		uint64_t inner = *offset + field->offset / 8;

		if (strcmp(field->name, name) == 0) {
			*offset = inner;
			return field;
		}
		if (!*field->name && bare_type(field->type)->kind == TYPE_RECORD)
			found = find_field(bare_type(field->type)->record, name, &inner);
		if (found) {
			*offset = inner;
			return found;
		}
	}
	return NULL;
}

static struct type *target_of(struct type *type)
{
	return bare_type(type)->target;
}

static int width_of(struct compiler *compiler, struct type *type)
{
	type = bare_type(type);
	if (is_pointer(type))
		return 8;
	if (!is_integer(type) || type->size > 8) {
		fail(compiler, format("a number that is '%s'", type_text(type)));
		return 8;
	}
	return type->is_signed ? -(int)type->size : (int)type->size;
}

static uint64_t element_size(struct type *type)
{
	type = bare_type(type);
	return type->kind == TYPE_VOID || !type->size ? 1 : type->size;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static const struct record *scope_of(const struct compiler *compiler)
{
	return compiler->plan ? compiler->plan->scope : NULL;
}

static bool find_place(struct compiler *compiler, const struct expr *expr, struct spot *ret_place)
{
	struct spot place = {0};
	struct value *field;

	switch (expr->op) {
	case EXPR_NAME:
		place.param = scope_of(compiler) ? find_field(scope_of(compiler), expr->name, &place.offset)
						 : find_param(compiler->function, expr->name);
		if (!place.param || place.param->bits >= 0)
			return false;
		place.type = place.param->type;
		break;
	case EXPR_UNARY:
	case EXPR_INDEX:
		if (expr->op == EXPR_UNARY && *expr->name != '*')
			return false;
		if (!find_place(compiler, expr->operands[0], &place) || !is_pointer(place.type))
			return false;
		if (place.is_behind && bare_type(place.type)->kind != TYPE_ARRAY) {
			fail(compiler, "a pointer behind a pointer");
			return false;
		}
		if (expr->op == EXPR_INDEX) {
			if (place.is_indexed) {
				fail(compiler, "an index behind an index");
				return false;
			}
			compile(compiler, expr->operands[1]);
			add_constant(compiler, format("%llu", (unsigned long long)element_size(target_of(place.type))));
			add_word(compiler, "VMRPC_DO(MUL)");
			place.is_indexed = true;
		}
		place.is_behind = true;
		place.type = target_of(place.type);
		break;
	case EXPR_MEMBER:
		if (!find_place(compiler, expr->operands[0], &place))
			return false;
		if (is_pointer(place.type)) {
			if (place.is_behind) {
				fail(compiler, "a pointer behind a pointer");
				return false;
			}
			place.is_behind = true;
			place.type = target_of(place.type);
		}
		if (bare_type(place.type)->kind != TYPE_RECORD)
			return false;
		field = find_field(bare_type(place.type)->record, expr->name, &place.offset);
		if (!field)
			return false;
		if (field->bits >= 0) {
			fail(compiler, format("the bit-field '%s'", field->name));
			return false;
		}
		place.type = field->type;
		break;
	default:
		return false;
	}
	*ret_place = place;
	return true;
}

static void load(struct compiler *compiler, const struct spot *place)
{
	const unsigned field = scope_of(compiler) ? 0 : field_number(compiler->function->frame, place->param);
	const int width = width_of(compiler, place->type);

	if (scope_of(compiler)) {
		if (place->is_behind)
			fail(compiler, "what a field points to");
		add_word(compiler, format("VMRPC_CODE(FIELD, %d, 0, %llu)", width,
					  (unsigned long long)(place->offset + compiler->plan->scope_offset)));
		return;
	}
	if (field == UINT32_MAX) {
		fail(compiler, format("'%s', which is skipped", place->param->name));
		return;
	}
	if (place->is_behind) {
		if (place->param == compiler->function->signature->result)
			fail(compiler, "what the result points to");
		if (!place->is_indexed)
			add_constant(compiler, "0");
		add_word(compiler,
			 format("VMRPC_CODE(AT, %d, %u, %llu)", width, field, (unsigned long long)place->offset));
		need(compiler, place->param);
		return;
	}
	for (unsigned i = 0; i < compiler->function->frame->n_slots; i++) {
		const struct slot *slot = &compiler->function->frame->slots[i];

		if (slot->value == place->param)
			add_word(compiler, format("VMRPC_CODE(FIELD, %d, %u, %llu)", width, field,
						  (unsigned long long)(slot->offset + place->offset)));
	}
	/* Addresses are only worth comparing once all of them are of this side; those of an extent's own end are as
	 * they came, as is its beginning. */
	if (is_pointer(place->type) &&
	    !(compiler->plan && (same(compiler->plan->extent, "END") || same(compiler->plan->extent, "RANGE_TO"))))
		need(compiler, place->param);
}

/* ---- types --------------------------------------------------------------------------------------------------- */

static struct type a_number = {.kind = TYPE_INT, .name = "number", .size = 8, .align = 8, .is_signed = true};

struct type *expr_type(const struct expr *expr, const struct service *service, struct function *function)
{
	struct code unused = {0};
	struct compiler compiler = {.service = service, .function = function, .code = &unused, .failed = true};
	struct spot place;
	struct type *type;

	if ((expr->op == EXPR_NAME || expr->op == EXPR_MEMBER || expr->op == EXPR_INDEX || expr->op == EXPR_UNARY) &&
	    find_place(&compiler, expr, &place))
		return place.type;
	if (expr->op == EXPR_BINARY && (*expr->name == '+' || *expr->name == '-') && !expr->name[1]) {
		type = expr_type(expr->operands[0], service, function);
		if (is_pointer(type) &&
		    !(*expr->name == '-' && is_pointer(expr_type(expr->operands[1], service, function))))
			return type;
	}
	if (expr->op == EXPR_CONDITION)
		return expr_type(expr->operands[1], service, function);
	return &a_number;
}

/* ---- operators ----------------------------------------------------------------------------------------------- */

static void compile_sizeof(struct compiler *compiler, const struct expr *expr)
{
	const char *text = expr->name;
	unsigned stars = 0;
	struct value *param;
	struct type *type;

	while (*text == '*' || *text == ' ')
		stars += *text++ == '*';
	param = scope_of(compiler) ? NULL : find_param(compiler->function, text);
	if (!param) {
		add_constant(compiler, format("sizeof(%s)", expr->name));
		return;
	}
	for (type = param->type; stars; stars--) {
		if (!is_pointer(type)) {
			fail(compiler, format("sizeof(%s)", expr->name));
			return;
		}
		type = target_of(type);
	}
	add_constant(compiler, format("%llu", is_pointer(type) ? 8ull : (unsigned long long)bare_type(type)->size));
}

static void compile_call(struct compiler *compiler, const struct expr *expr)
{
	const struct expr *first = expr->operands[1];
	struct value *param = first && first->op == EXPR_NAME && !scope_of(compiler)
				      ? find_param(compiler->function, first->name)
				      : NULL;
	unsigned field = param ? field_number(compiler->function->frame, param) : UINT32_MAX;

	if (strcmp(expr->name, "min") == 0 || strcmp(expr->name, "max") == 0) {
		compile(compiler, first);
		compile(compiler, first->next);
		add_word(compiler, *expr->name == 'm' && expr->name[1] == 'i' ? "VMRPC_DO(MIN)" : "VMRPC_DO(MAX)");
		return;
	}
	if (strcmp(expr->name, "strlen") != 0 && strcmp(expr->name, "strnlen") != 0 && strcmp(expr->name, "sum") != 0) {
		fail(compiler, format("a call of '%s'", expr->name));
		return;
	}
	if (field == UINT32_MAX || !is_pointer(param->type)) {
		fail(compiler, format("%s of something that is no parameter", expr->name));
		return;
	}
	need(compiler, param);
	if (strcmp(expr->name, "strlen") == 0) {
		add_word(compiler,
			 format("VMRPC_CODE(STRLEN, %d, %u, 0)", (int)element_size(target_of(param->type)), field));
		return;
	}
	compile(compiler, first->next);
	if (strcmp(expr->name, "sum") == 0)
		add_word(compiler,
			 format("VMRPC_CODE(SUM, %d, %u, 0)", width_of(compiler, target_of(param->type)), field));
	else
		add_word(compiler,
			 format("VMRPC_CODE(STRNLEN, %d, %u, 0)", (int)element_size(target_of(param->type)), field));
}

/* Where a jump comes to lie, so that it can be aimed later. */
static unsigned add_jump(struct compiler *compiler)
{
	add_word(compiler, NULL);
	return compiler->code->n - 1;
}

static void aim_jump(struct compiler *compiler, unsigned at, const char *op)
{
	compiler->code->words[at] = format("VMRPC_CODE(%s, 0, 0, %u)", op, compiler->code->n - at - 1);
}

static void compile_lazily(struct compiler *compiler, const struct expr *expr)
{
	const bool both = expr->name[0] == '&';
	unsigned first, second;

	/* a && b: a, else 0: !!b. a || b: a, else !!b: 1. */
	compile(compiler, expr->operands[0]);
	if (!both)
		add_word(compiler, "VMRPC_DO(NOT)");
	first = add_jump(compiler);
	compile(compiler, expr->operands[1]);
	add_word(compiler, "VMRPC_DO(NOT)");
	add_word(compiler, "VMRPC_DO(NOT)");
	second = add_jump(compiler);
	aim_jump(compiler, first, "JUMP_IF_ZERO");
	add_constant(compiler, both ? "0" : "1");
	aim_jump(compiler, second, "JUMP");
}

static void compile_condition(struct compiler *compiler, const struct expr *expr)
{
	unsigned otherwise, end;

	compile(compiler, expr->operands[0]);
	otherwise = add_jump(compiler);
	compile(compiler, expr->operands[1]);
	end = add_jump(compiler);
	aim_jump(compiler, otherwise, "JUMP_IF_ZERO");
	compile(compiler, expr->operands[2]);
	aim_jump(compiler, end, "JUMP");
}

static void compile_binary(struct compiler *compiler, const struct expr *expr)
{
	static const char *const ops[][2] = {{"+", "ADD"}, {"-", "SUB"},  {"*", "MUL"},	 {"/", "DIV"},
					     {"%", "REM"}, {"<<", "SHL"}, {">>", "SHR"}, {"&", "AND"},
					     {"|", "OR"},  {"^", "XOR"},  {"==", "EQ"},	 {"!=", "NE"},
					     {"<", "LT"},  {">", "GT"},	  {"<=", "LE"},	 {">=", "GE"}};
	struct type *left = expr_type(expr->operands[0], compiler->service, compiler->function);
	struct type *right = expr_type(expr->operands[1], compiler->service, compiler->function);
	const uint64_t size = is_pointer(left) ? element_size(target_of(left)) : 1;
	const bool sum = (*expr->name == '+' || *expr->name == '-') && !expr->name[1];

	if (strcmp(expr->name, "&&") == 0 || strcmp(expr->name, "||") == 0) {
		compile_lazily(compiler, expr);
		return;
	}
	compile(compiler, expr->operands[0]);
	compile(compiler, expr->operands[1]);
	if (sum && is_pointer(left) && !is_pointer(right) && size > 1) {
		add_constant(compiler, format("%llu", (unsigned long long)size));
		add_word(compiler, "VMRPC_DO(MUL)");
	}
	for (unsigned i = 0; i < sizeof ops / sizeof *ops; i++)
		if (strcmp(ops[i][0], expr->name) == 0)
			add_word(compiler, format("VMRPC_DO(%s)", ops[i][1]));
	if (sum && is_pointer(left) && is_pointer(right) && size > 1) {
		add_constant(compiler, format("%llu", (unsigned long long)size));
		add_word(compiler, "VMRPC_DO(DIV)");
	}
}

static void compile_name(struct compiler *compiler, const struct expr *expr)
{
	struct spot place;

	if (find_place(compiler, expr, &place))
		load(compiler, &place);
	else if (find_constant(expr->name))
		add_constant(compiler, format("INT64_C(%lld)", (long long)find_constant(expr->name)->value));
	else if (strcmp(expr->name, "NULL") == 0)
		add_constant(compiler, "0");
	else
		fail(compiler, format("'%s'", expr->name));
}

static void compile(struct compiler *compiler, const struct expr *expr)
{
	struct spot place;

	if (compiler->failed)
		return;
	switch (expr->op) {
	case EXPR_NUMBER:
		add_constant(compiler, expr->value > INT32_MAX ? format("INT64_C(%lld)", (long long)expr->value)
							       : format("%lld", (long long)expr->value));
		break;
	case EXPR_NAME:
		compile_name(compiler, expr);
		break;
	case EXPR_STRING:
		fail(compiler, "a string");
		break;
	case EXPR_SIZEOF:
		compile_sizeof(compiler, expr);
		break;
	case EXPR_MEMBER:
	case EXPR_INDEX:
		if (find_place(compiler, expr, &place))
			load(compiler, &place);
		else
			fail(compiler, "a field that is no parameter's own");
		break;
	case EXPR_UNARY:
		if (*expr->name == '*' || *expr->name == '&') {
			if (*expr->name == '*' && find_place(compiler, expr, &place))
				load(compiler, &place);
			else
				fail(compiler, format("'%s' of something that is no parameter", expr->name));
			break;
		}
		compile(compiler, expr->operands[0]);
		if (*expr->name != '+')
			add_word(compiler, *expr->name == '!'	? "VMRPC_DO(NOT)"
					   : *expr->name == '~' ? "VMRPC_DO(INV)"
								: "VMRPC_DO(NEG)");
		break;
	case EXPR_BINARY:
		compile_binary(compiler, expr);
		break;
	case EXPR_CONDITION:
		compile_condition(compiler, expr);
		break;
	case EXPR_CALL:
		compile_call(compiler, expr);
		break;
	}
}

struct code *compile_expr(const struct expr *expr, const struct note *note, const struct service *service,
			  struct function *function, struct plan *plan)
{
	struct compiler compiler = {.note = note,
				    .service = service,
				    .function = function,
				    .plan = plan,
				    .code = allocate(sizeof(struct code))};

	compile(&compiler, expr);
	add_word(&compiler, "VMRPC_DO(END)");
	return compiler.failed ? NULL : compiler.code;
}

struct code *number_code(int64_t value)
{
	struct code *code = allocate(sizeof *code);

	APPEND(code->words, code->n, "VMRPC_DO(CONST)");
	APPEND(code->words, code->n, format("%lld", (long long)value));
	APPEND(code->words, code->n, "VMRPC_DO(END)");
	return code;
}
