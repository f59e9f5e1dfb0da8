/* The library itself. It knows nothing of vmrpc but where it hands out memory of the region. */
#include "kit.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vmrpc/vmrpc.h>

int64_t kit_scalars(bool b, signed char c, unsigned short s, enum kit_color color, float f, long double d, int64_t l)
{
	return b + c + s + color + (int64_t)f + (int64_t)d + l;
}

struct kit_mixed kit_struct(struct kit_mixed m, union kit_either e, bool is_float)
{
	m.c++;
	m.i = is_float ? (int)e.f : e.i;
	m.low = m.low + 1u;
	m.p.x *= 2;
	m.a[2]++;
	return m;
}

int kit_skipped(int a, int b, int c)
{
	return 100 * a + 10 * b + c;
}

long kit_sum(const int *numbers, size_t n)
{
	long sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += numbers[i];
	return sum;
}

long kit_sum_array(const int numbers[], size_t n)
{
	return kit_sum(numbers, n);
}

long kit_sum_param(size_t n, const int numbers[n])
{
	return kit_sum(numbers, n);
}

long kit_sum_three(const int numbers[3])
{
	return kit_sum(numbers, 3);
}

long kit_sum_matrix(const int m[2][3])
{
	return kit_sum(m[0], 3) + 10 * kit_sum(m[1], 3);
}

uint32_t kit_checksum(const void *data, size_t n)
{
	const unsigned char *bytes = data;
	uint32_t sum = 2166136261u;

	for (size_t i = 0; i < n; i++)
		sum = (sum ^ bytes[i]) * 16777619u;
	return sum;
}

void kit_iota(int *out, int n)
{
	for (int i = 0; i < n; i++)
		out[i] = i;
}

void kit_first_only(int *out, int n)
{
	if (n)
		out[0] = 1;
}

void kit_upper(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		text[i] = (char)toupper((unsigned char)text[i]);
}

int kit_centroid(const struct kit_point *in, size_t n, struct kit_point *out)
{
	if (n == 0)
		return -1;
	*out = (struct kit_point){0, 0};
	for (size_t i = 0; i < n; i++) {
		out->x += in[i].x / (double)n;
		out->y += in[i].y / (double)n;
	}
	return 0;
}

void kit_swap(int *a, int *b)
{
	int c = *a;

	*a = *b;
	*b = c;
}

bool kit_is_null(const int *p, const char *s, const void *data, size_t n)
{
	(void)n;
	return !p && !s && !data;
}

bool kit_is_there(const void *data, size_t n)
{
	(void)n;
	return data != NULL;
}

unsigned kit_alignment(const char *data, size_t n)
{
	(void)n;
	return (uintptr_t)data % 16;
}

int kit_sum_pairs(const int *a, unsigned char n)
{
	return (int)kit_sum(a, 2u * n);
}

long kit_sum_lengths(const int *lengths, int n, const char *text)
{
	long sum = 0;

	for (long i = kit_sum(lengths, (size_t)n) - 1; i >= 0; i--)
		sum += text[i];
	return sum;
}

long kit_sum_chosen(const int *a, int n, bool wide)
{
	return kit_sum(a, (size_t)(wide ? 2 * n : n));
}

long kit_until(const char *from, const char *to)
{
	long sum = 0;

	while (from < to)
		sum += *from++;
	return sum;
}

long kit_sum_before(const char *from, const int *numbers, const char *to)
{
	return kit_sum(numbers, (size_t)(to - from));
}

void kit_blank(char *text, int from, int to)
{
	for (int i = from; i < to; i++)
		text[i] = ' ';
}

long kit_sum_span(const struct kit_span *span, const int *numbers)
{
	return span->factor * kit_sum(numbers, span->size);
}

int kit_scratch(void *work, size_t n)
{
	if (n)
		memset(work, 1, n);
	return n ? ((char *)work)[n - 1] : 0;
}

int kit_in_place(const int *shared)
{
	return ++*(int *)(uintptr_t)shared;
}

void kit_move(struct kit_point *point, double x)
{
	point->x += x;
	point->y += x;
}

const int *kit_address(const int *a, int n, int i)
{
	return i <= n ? a + i : NULL;
}

size_t kit_length(const char *s)
{
	return strlen(s);
}

size_t kit_wide_length(const wchar_t *s)
{
	return wcslen(s);
}

size_t kit_length_max(const char *s, size_t max)
{
	return strnlen(s, max);
}

long kit_sum_terminated(const int *numbers)
{
	long sum = 0;

	while (*numbers)
		sum += *numbers++;
	return sum;
}

void kit_shout(char *s)
{
	kit_upper(s, strlen(s));
}

void kit_greet(const char *name, char *out, size_t cap)
{
	snprintf(out, cap, "Hello, %s!", name);
}

int kit_pack(unsigned char *out, size_t *out_size, const unsigned char *in, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < n;) {
		size_t run = 1;

		while (i + run < n && run < 255 && in[i + run] == in[i])
			run++;
		if (used + 2 > *out_size)
			return -1;
		out[used++] = (unsigned char)run;
		out[used++] = in[i];
		i += run;
	}
	*out_size = used;
	return 0;
}

long kit_read(void *out, size_t cap, int offset)
{
	static const char text[] = "The quick brown fox";
	const size_t left = offset < 0 || (size_t)offset > sizeof text - 1 ? 0 : sizeof text - 1 - (size_t)offset;

	if (offset < 0) {
		errno = ESPIPE;
		return -1;
	}
	if (cap > left)
		cap = left;
	memcpy(out, text + offset, cap);
	return (long)cap;
}

int kit_primes(int *out, int max)
{
	int n = 0;

	for (int i = 2; n < max && i < 20; i++) {
		bool prime = true;

		for (int j = 2; j < i; j++)
			prime = prime && i % j;
		if (prime)
			out[n++] = i;
	}
	return n;
}

char *kit_join(const char *a, const char *b)
{
	char *joined = malloc(strlen(a) + strlen(b) + 1);

	if (joined)
		strcat(strcpy(joined, a), b);
	return joined;
}

int *kit_range(int n)
{
	int *range = n >= 0 ? malloc(((size_t)n + 1) * sizeof *range) : NULL;

	if (range)
		kit_iota(range, n);
	return range;
}

void kit_free(int *range)
{
	free(range);
}

struct kit_point *kit_shared_point(double x, double y)
{
	struct kit_point *point = vmrpc_malloc(NULL, sizeof *point);

	if (point)
		*point = (struct kit_point){x, y};
	return point;
}

const char *kit_color_name(enum kit_color color)
{
	return color == KIT_RED ? "red" : color == KIT_GREEN ? "green" : color == KIT_BLUE ? "blue" : NULL;
}

const wchar_t *kit_wide_name(enum kit_color color)
{
	return color == KIT_RED ? L"r\u00f6d" : NULL;
}

const struct kit_point *kit_origin(void)
{
	static const struct kit_point origin = {0.5, -0.5};

	return &origin;
}

const char *kit_describe(int n)
{
	static _Thread_local char text[64];

	snprintf(text, sizeof text, "the number %d", n);
	return text;
}

unsigned char *kit_bytes(size_t *n)
{
	unsigned char *bytes = malloc(20000);

	for (size_t i = 0; bytes && i < 20000; i++)
		bytes[i] = (unsigned char)i;
	*n = 20000;
	return bytes;
}

char *kit_find(char *text, int c)
{
	return strchr(text, c);
}

/* ---- handles --------------------------------------------------------------------------------------------------- */

struct kit_frame {
	int value;
};

struct kit_stack {
	char name[32];
	int n;
	struct kit_frame frames[16];
};

static _Atomic int stacks_open;

struct kit_stack *kit_stack_new(const char *name)
{
	struct kit_stack *stack = calloc(1, sizeof *stack);

	if (!stack)
		return NULL;
	snprintf(stack->name, sizeof stack->name, "%s", name);
	stacks_open++;
	return stack;
}

int kit_stack_open(struct kit_stack **ret_stack, int first)
{
	if (first < 0)
		return -1;
	*ret_stack = kit_stack_new("opened");
	return kit_stack_push(*ret_stack, first);
}

void kit_stack_free(struct kit_stack *stack)
{
	stacks_open -= stack != NULL;
	free(stack);
}

int kit_stack_push(struct kit_stack *stack, int number)
{
	if (stack->n == 16)
		return -1;
	stack->frames[stack->n++].value = number;
	return 0;
}

int kit_stack_pop(struct kit_stack *stack)
{
	return stack && stack->n ? stack->frames[--stack->n].value : -1;
}

const char *kit_stack_name(struct kit_stack *stack)
{
	return stack->name;
}

struct kit_stack *kit_stack_self(struct kit_stack *stack)
{
	return stack;
}

/* A new one, which happens to lie where the old one did. */
struct kit_stack *kit_stack_renew(struct kit_stack *stack)
{
	memset(stack, 0, sizeof *stack);
	return stack;
}

bool kit_stack_drop_if_empty(struct kit_stack *stack)
{
	if (stack->n)
		return false;
	kit_stack_free(stack);
	return true;
}

int kit_stacks_open(void)
{
	return stacks_open;
}

long kit_stacks_sum(struct kit_stack *const *stacks, size_t n)
{
	long sum = 0;

	for (size_t i = 0; i < n; i++)
		for (int j = 0; stacks[i] && j < stacks[i]->n; j++)
			sum += stacks[i]->frames[j].value;
	return sum;
}

struct kit_frame *kit_stack_top(struct kit_stack *stack)
{
	return stack->n ? &stack->frames[stack->n - 1] : NULL;
}

int kit_frame_value(const struct kit_frame *frame)
{
	return frame->value;
}

struct kit_gauge *kit_gauge_new(int value)
{
	struct kit_gauge *gauge = malloc(sizeof *gauge);

	if (gauge)
		gauge->value = value;
	return gauge;
}

int kit_gauge_value(struct kit_gauge *gauge)
{
	return gauge->value;
}

void kit_gauge_free(struct kit_gauge *gauge)
{
	free(gauge);
}

static int slots[8]; /* from 1 on; 0: free */

kit_slot kit_slot_take(int value)
{
	for (int i = 0; i < 8; i++)
		if (!slots[i]) {
			slots[i] = value;
			stacks_open++;
			return i + 1;
		}
	return -1;
}

int kit_slot_value(kit_slot slot)
{
	return slot > 0 && slot <= 8 ? slots[slot - 1] : -1;
}

void kit_slot_give(kit_slot slot)
{
	slots[slot - 1] = 0;
	stacks_open--;
}

long kit_ticket(int n)
{
	return n < 0 ? 0 : 5000000000 + n;
}

int kit_ticket_number(long ticket)
{
	return ticket ? (int)(ticket - 5000000000) : -1;
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

void kit_doze(int ms, const void *data, size_t n)
{
	(void)data, (void)n;
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static _Thread_local char noted[4096];

void kit_note(const char *text, const int *numbers, int n)
{
	snprintf(noted + strlen(noted), sizeof noted - strlen(noted), "%s %ld;", text, kit_sum(numbers, (size_t)n));
}

void kit_note_part(char a, char b, char c, char d, char e, char f, char g, char h, const char *text, int from, int to)
{
	snprintf(noted + strlen(noted), sizeof noted - strlen(noted), "%c%c%c%c%c%c%c%c %.*s;", a, b, c, d, e, f, g, h,
		 to - from < 8 ? to - from : 8, text + from);
}

size_t kit_noted(char *out, size_t cap)
{
	snprintf(out, cap, "%s", noted);
	return strlen(noted);
}

void kit_forget(void)
{
	noted[0] = 0;
}
