/* A library with a function for every way a value can travel. */
#ifndef KIT_H
#define KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

#include <vmrpc/annotate.h>

#pragma GCC diagnostic ignored "-Wvla" /* T a[n], with n a parameter, is what C has of its own */

VMRPC_SERVICE(kit, 1, 0);

enum kit_color { KIT_RED, KIT_GREEN = 7, KIT_BLUE };
struct kit_point {
	double x, y;
};
struct kit_mixed {
	char c;
	int i;
	unsigned low : 3, high : 5;
	struct kit_point p;
	short a[3];
};
union kit_either {
	int i;
	float f;
};

/* Values. */
int64_t kit_scalars(bool b, signed char c, unsigned short s, enum kit_color color, float f, long double d, int64_t l);
struct kit_mixed kit_struct(struct kit_mixed m, union kit_either e, bool is_float);
int kit_skipped(int a, int b VMRPC_SKIP, int c);

/* Buffers. */
long kit_sum(const int *numbers VMRPC_COUNT(n), size_t n);
long kit_sum_array(const int numbers[] VMRPC_COUNT(n), size_t n) VMRPC_ON_FAIL(-1);
long kit_sum_param(size_t n, const int numbers[n]);
long kit_sum_three(const int numbers[3]);
long kit_sum_matrix(const int m[2][3]);
uint32_t kit_checksum(const void *data VMRPC_SIZE(n), size_t n);
void kit_iota(int *out VMRPC_OUT VMRPC_COUNT(n), int n);
void kit_first_only(int *out VMRPC_OUT VMRPC_COUNT(n), int n);
void kit_upper(char *text VMRPC_INOUT VMRPC_SIZE(n), size_t n);
int kit_centroid(const struct kit_point *in VMRPC_COUNT(n), size_t n, struct kit_point *out VMRPC_OUT)
	VMRPC_ON_FAIL(-1);
void kit_swap(int *a VMRPC_INOUT, int *b VMRPC_INOUT);
bool kit_is_null(const int *p VMRPC_COUNT(1), const char *s VMRPC_STRING, const void *data VMRPC_SIZE(n), size_t n);
bool kit_is_there(const void *data VMRPC_SIZE(n), size_t n);
unsigned kit_alignment(const char *data VMRPC_SIZE(n), size_t n);
int kit_sum_pairs(const int *a VMRPC_COUNT(n * 2), unsigned char n);
long kit_sum_lengths(const int *lengths VMRPC_COUNT(n), int n, const char *text VMRPC_SIZE(sum(lengths, n)));
long kit_sum_chosen(const int *a VMRPC_COUNT(wide ? 2 * n : n), int n, bool wide);
long kit_until(const char *from VMRPC_END(to), const char *to VMRPC_INTO(from));
long kit_sum_before(const char *from VMRPC_SIZE(64), const int *numbers VMRPC_COUNT(to - from),
		    const char *to VMRPC_INTO(from));
void kit_blank(char *text VMRPC_INOUT VMRPC_RANGE(from, to), int from, int to);
struct kit_span {
	size_t size;
	int factor;
};
long kit_sum_span(const struct kit_span *span, const int *numbers VMRPC_COUNT(span->size));
int kit_scratch(void *work VMRPC_SCRATCH(n), size_t n);
int kit_in_place(const int *shared VMRPC_SHARED);
void kit_move(struct kit_point *point VMRPC_SHARED, double x);
const int *kit_address(const int *a VMRPC_COUNT(n), int n, int i) VMRPC_INTO(a);

/* Strings. */
size_t kit_length(const char *s VMRPC_STRING);
size_t kit_wide_length(const wchar_t *s VMRPC_STRING);
size_t kit_length_max(const char *s VMRPC_STRING_MAX(max), size_t max);
long kit_sum_terminated(const int *numbers VMRPC_TERMINATED);
void kit_shout(char *s VMRPC_INOUT VMRPC_STRING);
void kit_greet(const char *name VMRPC_STRING, char *out VMRPC_STRING_OUT(cap), size_t cap);

/* Filled by the callee. */
int kit_pack(unsigned char *out VMRPC_SIZE_OUT(*out_size, *out_size), size_t *out_size VMRPC_INOUT,
	     const unsigned char *in VMRPC_SIZE(n), size_t n) VMRPC_SUCCESS(result == 0);
long kit_read(void *out VMRPC_SIZE_OUT(result, cap), size_t cap, int offset) VMRPC_ERRNO VMRPC_ON_FAIL(-1);
int kit_primes(int *out VMRPC_COUNT_OUT(result, max), int max);

/* Results. */
char *kit_join(const char *a VMRPC_STRING, const char *b VMRPC_STRING) VMRPC_STRING VMRPC_CALLER_FREES(free);
int *kit_range(int n) VMRPC_COUNT(n) VMRPC_CALLER_FREES(kit_free);
void kit_free(int *range VMRPC_CONSUMES);
struct kit_point *kit_shared_point(double x, double y) VMRPC_CALLER_FREES(vmrpc_free);
const char *kit_color_name(enum kit_color color) VMRPC_STRING VMRPC_STATIC;
const wchar_t *kit_wide_name(enum kit_color color) VMRPC_STRING VMRPC_STATIC;
const struct kit_point *kit_origin(void) VMRPC_STATIC;
const char *kit_describe(int n) VMRPC_STRING VMRPC_BORROWED;
unsigned char *kit_bytes(size_t *n VMRPC_OUT) VMRPC_SIZE(*n) VMRPC_CALLER_FREES(free);
char *kit_find(char *text VMRPC_INOUT VMRPC_STRING, int c) VMRPC_INTO(text);

/* Data deeper than one pointer. */
struct kit_node {
	int value;
	struct kit_node *next;
};
long kit_list_sum(const struct kit_node *list VMRPC_COUNT(1));
void kit_list_double(struct kit_node *list VMRPC_INOUT);
struct kit_node *kit_list_drop(struct kit_node *list VMRPC_INOUT, int n) VMRPC_INTO(list);
struct kit_node *kit_list_find(struct kit_node *list VMRPC_INOUT, int value) VMRPC_INTO(list);
void kit_list_reverse(struct kit_node **list VMRPC_INOUT VMRPC_EACH(VMRPC_INOUT));
struct kit_tree {
	int value;
	struct kit_tree *child[2];
	const char *label VMRPC_STRING;
	void *cookie VMRPC_SKIP;
};
long kit_tree_sum(const struct kit_tree *tree VMRPC_COUNT(1));
int kit_tree_mark(struct kit_tree *tree VMRPC_INOUT);
struct kit_row {
	size_t n;
	int *numbers VMRPC_COUNT(n);
	char *name VMRPC_STRING;
};
long kit_rows_sum(const struct kit_row *rows VMRPC_COUNT(n), size_t n);
void kit_rows_negate(struct kit_row *rows VMRPC_INOUT VMRPC_COUNT(n), size_t n);
long kit_arguments(const char *const *argv VMRPC_COUNT(argc) VMRPC_EACH(VMRPC_STRING), int argc);
long kit_arguments_null(char **argv VMRPC_IN VMRPC_TERMINATED VMRPC_EACH(VMRPC_STRING));
struct kit_city {
	int visits;
	struct kit_city *roads[3];
};
int kit_tour(struct kit_city *start VMRPC_INOUT VMRPC_GRAPH);
enum kit_kind { KIT_NUMBER, KIT_TEXT, KIT_LIST, KIT_NOTHING };
struct kit_value {
	enum kit_kind kind;
	union {
		long number VMRPC_CASE(KIT_NUMBER);
		const char *text VMRPC_STRING VMRPC_CASE(KIT_TEXT);
		struct kit_node *list VMRPC_CASE(KIT_LIST);
	} as VMRPC_SWITCH(kind);
};
long kit_values(struct kit_value *values VMRPC_INOUT VMRPC_COUNT(n), int n);
void kit_names(char **names VMRPC_OUT VMRPC_COUNT(n) VMRPC_EACH(VMRPC_STRING VMRPC_CALLER_FREES(free)), int n);
int kit_new_range(int **ret_range VMRPC_OUT VMRPC_EACH(VMRPC_COUNT(*ret_n) VMRPC_CALLER_FREES(free)),
		  size_t *ret_n VMRPC_OUT, int n) VMRPC_SUCCESS(result == 0);
void kit_last_name(const char **ret_name VMRPC_OUT VMRPC_EACH(VMRPC_STRING VMRPC_BORROWED),
		   const char **ret_static VMRPC_OUT VMRPC_EACH(VMRPC_STRING VMRPC_STATIC));
struct kit_matrix {
	char name[3];
	struct {
		int rows, columns;
		double *cells VMRPC_COUNT(rows *columns);
	} data;
};
double kit_trace(const struct kit_matrix *m VMRPC_COUNT(1));

/* Handles. */
struct kit_stack;
struct kit_stack *kit_stack_new(const char *name VMRPC_STRING) VMRPC_CLOSE_WITH(kit_stack_free);
int kit_stack_open(struct kit_stack **ret_stack VMRPC_OUT VMRPC_EACH(VMRPC_NONNULL), int first)
	VMRPC_CLOSE_WITH(kit_stack_free);
void kit_stack_free(struct kit_stack *stack VMRPC_CLOSES);
int kit_stack_push(struct kit_stack *stack VMRPC_NONNULL, int number) VMRPC_ON_FAIL(-1);
int kit_stack_pop(struct kit_stack *stack) VMRPC_ON_FAIL(-1);
const char *kit_stack_name(struct kit_stack *stack) VMRPC_STRING VMRPC_BORROWED;
struct kit_stack *kit_stack_self(struct kit_stack *stack);
struct kit_stack *kit_stack_renew(struct kit_stack *stack VMRPC_NONNULL VMRPC_CLOSES) VMRPC_CLOSE_WITH(kit_stack_free);
bool kit_stack_drop_if_empty(struct kit_stack *stack VMRPC_CLOSES_IF(result)) VMRPC_ON_FAIL(false);
int kit_stacks_open(void);
long kit_stacks_sum(struct kit_stack *const *stacks VMRPC_COUNT(n), size_t n) VMRPC_ON_FAIL(-1);
struct kit_frame;
struct kit_frame *kit_stack_top(struct kit_stack *stack) VMRPC_LIVES_WITH(stack);
int kit_frame_value(const struct kit_frame *frame) VMRPC_ON_FAIL(-1);
struct kit_gauge {
	int value;
};
struct kit_gauge *kit_gauge_new(int value) VMRPC_HANDLE VMRPC_CLOSE_WITH(kit_gauge_free);
int kit_gauge_value(struct kit_gauge *gauge VMRPC_HANDLE) VMRPC_ON_FAIL(-1);
void kit_gauge_free(struct kit_gauge *gauge VMRPC_HANDLE VMRPC_CLOSES);
typedef int kit_slot VMRPC_HANDLE;
kit_slot kit_slot_take(int value) VMRPC_CLOSE_WITH(kit_slot_give);
int kit_slot_value(kit_slot slot) VMRPC_ON_FAIL(-2);
void kit_slot_give(kit_slot slot VMRPC_CLOSES);
long kit_ticket(int n) VMRPC_HANDLE_NAMED(ticket);
int kit_ticket_number(long ticket VMRPC_HANDLE_NAMED(ticket)) VMRPC_ON_FAIL(-2);

/* Calls. */
void kit_doze(int ms, const void *data VMRPC_SIZE(n), size_t n);
void kit_note(const char *text VMRPC_STRING, const int *numbers VMRPC_COUNT(n), int n) VMRPC_ASYNC;
void kit_note_part(char a, char b, char c, char d, char e, char f, char g, char h,
		   const char *text VMRPC_RANGE(from, to), int from, int to) VMRPC_ASYNC;
size_t kit_noted(char *out VMRPC_STRING_OUT(cap), size_t cap) VMRPC_FLUSH;
void kit_forget(void) VMRPC_FLUSH;

#endif
