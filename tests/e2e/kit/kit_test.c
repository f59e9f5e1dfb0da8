/* One program, linked once with kit itself and once with its stubs: every way a value can travel, with the same
 * results.
 *
 * Remote, VMRPC_KIT names the server, which is started first. VMRPC_TEST_MEMORY=heap takes the arguments' memory
 * from the RPC heap instead of from malloc. */
#include "kit.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "test.h"

#ifdef KIT_REMOTE
#include <vmrpc/error.h>
#include <vmrpc/stack.h>

#include "kit.rpc.h"
#endif

static bool in_heap(void)
{
	const char *memory = getenv("VMRPC_TEST_MEMORY");

	return memory && strcmp(memory, "heap") == 0;
}

/* Memory for an argument. Nothing that these tests take is given back: they end soon. */
static void *memory(size_t size)
{
	static struct taken {
		struct taken *before;
		_Alignas(16) unsigned char bytes[];
	} * last;
	struct taken *taken;

#ifdef KIT_REMOTE
	if (in_heap()) {
		kit_forget(); /* connects */
		return vmrpc_malloc(NULL, size ? size : 1);
	}
#endif
	(void)in_heap;
	taken = malloc(sizeof *taken + size);
	taken->before = last;
	last = taken;
	return taken->bytes;
}

static void *filled(const void *bytes, size_t size)
{
	return memcpy(memory(size), bytes, size);
}
#define FILLED(array) filled(array, sizeof(array))

static char *text(const char *string)
{
	return filled(string, strlen(string) + 1);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

TEST(scalars)
{
	CHECK_EQ(kit_scalars(true, -3, 60000, KIT_BLUE, 2.5f, 1000.25L, -1), 1 - 3 + 60000 + 8 + 2 + 1000 - 1);
#ifdef KIT_REMOTE
	CHECK_EQ(kit_skipped(1, 2, 3), 103);
#else
	CHECK_EQ(kit_skipped(1, 2, 3), 123);
#endif
}

TEST(structs_by_value)
{
	struct kit_mixed in = {'a', 0, 3, 17, {1.5, 2.5}, {1, 2, 3}};
	struct kit_mixed out = kit_struct(in, (union kit_either){.f = 6.5f}, true);

	CHECK_EQ(out.c, 'b');
	CHECK_EQ(out.i, 6);
	CHECK_EQ(out.low, 4);
	CHECK_EQ(out.high, 17);
	CHECK(out.p.x == 3 && out.p.y == 2.5);
	CHECK_EQ(out.a[2], 4);
	CHECK_EQ(kit_struct(in, (union kit_either){.i = -9}, false).i, -9);
}

/* ---- buffers ---------------------------------------------------------------------------------------------------- */

TEST(arrays_go_in)
{
	const int numbers[] = {1, 2, 3, 4, 5, 6};
	int *in = FILLED(numbers);

	CHECK_EQ(kit_sum(in, 6), 21);
	CHECK_EQ(kit_sum(in + 1, 3), 9);
	CHECK_EQ(kit_sum_array(in, 2), 3);
	CHECK_EQ(kit_sum_param(4, in), 10);
	CHECK_EQ(kit_sum_three(in), 6);
	CHECK_EQ(kit_sum_matrix((const int(*)[3])in), 6 + 150);
	CHECK_EQ(kit_sum_pairs(in, 3), 21);
	CHECK_EQ(kit_sum_chosen(in, 3, false), 6);
	CHECK_EQ(kit_sum_chosen(in, 3, true), 21);
	CHECK_EQ(kit_checksum(in, sizeof numbers), kit_checksum(numbers, sizeof numbers));
}

TEST(large_buffers)
{
	const size_t n = 3u << 20;
	unsigned char *in = memory(n);
	uint32_t expected = 2166136261u;
	int *out = memory(100000 * sizeof *out);

	for (size_t i = 0; i < n; i++) {
		in[i] = (unsigned char)(i * 7 + i / 256);
		expected = (expected ^ in[i]) * 16777619u;
	}
	for (int i = 0; i < 3; i++)
		CHECK_EQ(kit_checksum(in, n), expected);
	kit_iota(out, 100000);
	for (int i = 0; i < 100000; i++)
		CHECK_EQ(out[i], i);
}

TEST(arrays_come_out)
{
	int *out = memory(1000 * sizeof *out);

	memset(out, 0xff, 1000 * sizeof *out);
	kit_iota(out, 999);
	CHECK_EQ(out[0], 0);
	CHECK_EQ(out[998], 998);
	CHECK_EQ(out[999], -1);
}

TEST(what_the_callee_leaves_alone_stays_in_small_outs)
{
	const int old[] = {10, 20, 30};
	int *out = FILLED(old);

	kit_first_only(out, 3);
	CHECK_EQ(out[0], 1);
	CHECK_EQ(out[1], 20);
	CHECK_EQ(out[2], 30);
}

/* "the caller's old ones or zero": never what lay in the region before. */
TEST(what_the_callee_leaves_alone_is_no_strangers)
{
	int *out = memory(500 * sizeof *out);
	char *secret = memory(2000);

	memset(secret, 'S', 2000);
	kit_checksum(secret, 2000);
	for (int i = 0; i < 500; i++)
		out[i] = -5;
	kit_first_only(out, 500);
	CHECK_EQ(out[0], 1);
	for (int i = 1; i < 500; i++)
		CHECK(out[i] == 0 || out[i] == -5);
}

TEST(arrays_go_in_and_out)
{
	char *word = text("remote");
	int *a = memory(sizeof *a), *b = memory(sizeof *b);

	kit_upper(word, 3);
	CHECK_STR(word, "REMote");
	*a = 1;
	*b = 2;
	kit_swap(a, b);
	CHECK_EQ(*a, 2);
	CHECK_EQ(*b, 1);
}

TEST(structs_behind_pointers)
{
	const struct kit_point square[] = {{0, 0}, {0, 2}, {2, 2}, {2, 0}};
	struct kit_point *in = FILLED(square), *out = memory(sizeof *out);
	const struct kit_span span = {3, 10};
	const int numbers[] = {1, 2, 3};

	CHECK_EQ(kit_centroid(in, 4, out), 0);
	CHECK(out->x == 1 && out->y == 1);
	CHECK_EQ(kit_centroid(in, 0, out), -1);
	CHECK(out->x == 1);
	CHECK_EQ(kit_sum_span(filled(&span, sizeof span), FILLED(numbers)), 60);
}

TEST(null_stays_null_and_empty_stays_there)
{
	CHECK(kit_is_null(NULL, NULL, NULL, 10));
	CHECK(!kit_is_null(FILLED(((const int[]){1})), NULL, NULL, 10));
	CHECK(!kit_is_there(NULL, 0));
	CHECK(kit_is_there(memory(1), 0));
	CHECK_EQ(kit_sum(memory(4), 0), 0);
}

TEST(a_copy_is_aligned_as_the_original)
{
	char *data = memory(64);

	for (unsigned i = 0; i < 16; i++)
		CHECK_EQ(kit_alignment(data + i, 40), (uintptr_t)(data + i) % 16);
}

TEST(lengths_from_other_arguments)
{
	const int lengths[] = {2, 0, 3};

	CHECK_EQ(kit_sum_lengths(FILLED(lengths), 3, text("abcde")), 'a' + 'b' + 'c' + 'd' + 'e');
}

TEST(lengths_between_pointers)
{
	char *line = memset(memory(64), 0, 64);
	const int numbers[] = {1, 2, 3, 4};

	CHECK_EQ(kit_sum_before(line, FILLED(numbers), line + 3), 6);
}

TEST(windows)
{
	char *line = text("0123456789");

	CHECK_EQ(kit_until(line + 2, line + 5), '2' + '3' + '4');
	CHECK_EQ(kit_until(line, line), 0);
	kit_blank(line, 3, 6);
	CHECK_STR(line, "012   6789");
	kit_blank(line, 4, 4);
	CHECK_STR(line, "012   6789");
}

TEST(scratch_memory)
{
	char *work = memory(3000);

	CHECK_EQ(kit_scratch(work, 3000), 1);
	CHECK_EQ(kit_scratch(NULL, 0), 0);
}

TEST(pointers_that_come_back)
{
	const int numbers[] = {1, 2, 3, 4};
	int *in = FILLED(numbers);
	char *line = text("find me");

	CHECK(kit_address(in, 4, 2) == in + 2);
	CHECK(kit_address(in, 4, 4) == in + 4);
	CHECK(!kit_address(in, 4, 5));
	CHECK(kit_find(line, 'm') == line + 5);
	CHECK(!kit_find(line, 'z'));
}

/* ---- strings ----------------------------------------------------------------------------------------------------- */

TEST(strings)
{
	char *shouted = text("quiet");
	const int numbers[] = {4, 5, 6, 0, 7};
	char *out = memory(32), *small = text("1234567890");

	CHECK_EQ(kit_length(text("")), 0);
	CHECK_EQ(kit_length(text("twelve bytes")), 12);
	CHECK_EQ(kit_wide_length(FILLED(L"wide")), 4);
	CHECK_EQ(kit_length_max(text("abcdef"), 3), 3);
	CHECK_EQ(kit_length_max(text("ab"), 30), 2);
	CHECK_EQ(kit_sum_terminated(FILLED(numbers)), 15);
	kit_shout(shouted);
	CHECK_STR(shouted, "QUIET");
	kit_greet(text("you"), out, 32);
	CHECK_STR(out, "Hello, you!");
	kit_greet(text("you"), small, 6);
	CHECK_STR(small, "Hello");
	CHECK_STR(small + 6, "7890");
}

TEST(a_long_string)
{
	char *string = memory(100001);

	memset(string, 'x', 100000);
	string[100000] = 0;
	CHECK_EQ(kit_length(string), 100000);
}

/* ---- filled by the callee ---------------------------------------------------------------------------------------- */

TEST(lengths_that_come_out)
{
	const char *in = "aaaaabbbc";
	unsigned char *out = filled("................................", 32);
	size_t *size = memory(sizeof *size);
	int *primes = memory(10 * sizeof *primes);

	*size = 32;
	CHECK_EQ(kit_pack(out, size, filled(in, 9), 9), 0);
	CHECK_EQ(*size, 6);
	CHECK_EQ(out[0], 5);
	CHECK_EQ(out[5], 'c');
	CHECK_EQ(out[6], '.');
	primes[8] = -1;
	CHECK_EQ(kit_primes(primes, 10), 8);
	CHECK_EQ(primes[7], 19);
	CHECK_EQ(primes[8], -1);
}

TEST(outs_of_a_failure_are_not_touched)
{
	unsigned char *out = filled("................................", 32);
	size_t *size = memory(sizeof *size);

	*size = 3;
	CHECK_EQ(kit_pack(out, size, filled("aaab", 4), 4), -1);
	CHECK_EQ(*size, 3);
#ifdef KIT_REMOTE
	if (!in_heap())
		CHECK_EQ(out[0], '.');
#endif
}

TEST(errno_comes_back)
{
	char *out = text("....................");

	errno = 0;
	CHECK_EQ(kit_read(out, 9, 4), 9);
	CHECK_STR(out, "quick bro...........");
	CHECK_EQ(errno, 0);
	CHECK_EQ(kit_read(out, 9, -1), -1);
	CHECK_EQ(errno, ESPIPE);
	CHECK_EQ(kit_read(out, 20, 16), 3);
}

/* ---- results ------------------------------------------------------------------------------------------------- */

TEST(results_that_the_caller_frees)
{
	char *joined = kit_join(text("left"), text("right"));
	size_t *n = memory(sizeof *n);
	unsigned char *bytes;
	int *range;

	CHECK_STR(joined, "leftright");
	free(joined);
	for (int i = 0; i < 300; i++) {
		range = kit_range(1000);
		CHECK_EQ(range[999], 999);
		kit_free(range);
	}
	CHECK(!kit_range(-1));
	bytes = kit_bytes(n);
	CHECK_EQ(*n, 20000);
	CHECK_EQ(bytes[19999], 19999 % 256);
	free(bytes);
}

TEST(results_for_ever)
{
	const char *red = kit_color_name(KIT_RED);
	const struct kit_point *origin = kit_origin();

	CHECK(wcscmp(kit_wide_name(KIT_RED), L"r\u00f6d") == 0);
	CHECK(!kit_wide_name(KIT_BLUE));
	CHECK_STR(red, "red");
	CHECK_STR(kit_color_name(KIT_BLUE), "blue");
	CHECK(kit_color_name(KIT_RED) == red);
	CHECK(!kit_color_name((enum kit_color)3));
	CHECK(origin->x == 0.5);
	CHECK(kit_origin() == origin);
}

TEST(results_until_the_next_call)
{
	const char *description = kit_describe(42);

	CHECK_STR(description, "the number 42");
	CHECK_STR(kit_describe(-7), "the number -7");
}

/* ---- deeper ---------------------------------------------------------------------------------------------- */

static struct kit_node *list_of(int n)
{
	struct kit_node *list = NULL;

	for (int i = n; i > 0; i--) {
		struct kit_node *node = memory(sizeof *node);

		*node = (struct kit_node){i, list};
		list = node;
	}
	return list;
}

TEST(lists)
{
	struct kit_node *list = list_of(4), *second = list->next, *third = second->next, *fourth = third->next;

	CHECK_EQ(kit_list_sum(list), 10);
	CHECK_EQ(kit_list_sum(NULL), 0);
	kit_list_double(list);
	CHECK(list->next == second && second->next == third && third->next == fourth && !fourth->next);
	CHECK_EQ(fourth->value, 8);
	CHECK(kit_list_find(list, 6) == third);
	CHECK(!kit_list_find(list, 7));
	CHECK(kit_list_drop(list, 4) == list);
	CHECK(list->next == third);
	CHECK_EQ(kit_list_sum(list), 2 + 6 + 8);
	kit_list_reverse(&list);
	CHECK(list == fourth && fourth->next == third && third->next && !third->next->next);
}

TEST(a_long_list)
{
	struct kit_node *list = list_of(20000);

	CHECK_EQ(kit_list_sum(list), 20000L * 20001 / 2);
	kit_list_double(list);
	CHECK_EQ(list->value, 2);
	CHECK_EQ(kit_list_sum(list), 20000L * 20001);
	kit_list_reverse(&list);
	CHECK_EQ(list->value, 40000);
	CHECK_EQ(list->next->value, 39998);
	CHECK_EQ(kit_list_sum(list), 20000L * 20001);
}

TEST(trees)
{
	struct kit_tree *trees = memory(3 * sizeof *trees);
	int cookie;

	trees[0] = (struct kit_tree){1, {&trees[1], &trees[2]}, text("root"), &cookie};
	trees[1] = (struct kit_tree){20, {NULL, NULL}, NULL, &cookie};
	trees[2] = (struct kit_tree){300, {NULL, NULL}, "right", NULL};
	CHECK_EQ(kit_tree_sum(trees), 321 + 9000);
#ifdef KIT_REMOTE
	CHECK_EQ(kit_tree_mark(trees), 3);
#else
	CHECK_EQ(kit_tree_mark(trees), 203);
#endif
	CHECK_EQ(trees[2].value, -300);
	CHECK(trees[0].child[0] == &trees[1] && trees[0].child[1] == &trees[2] && !trees[1].child[0]);
	CHECK(trees[0].cookie == &cookie && trees[1].cookie == &cookie && !trees[2].cookie);
	CHECK_STR(trees[0].label, "root");
	CHECK_STR(trees[2].label, "right");
}

TEST(structs_with_arrays_and_strings)
{
	const int numbers[] = {1, 2, 3, 4, 5, 6};
	int *a = FILLED(numbers);
	struct kit_row *rows = memory(3 * sizeof *rows);

	rows[0] = (struct kit_row){2, a, text("two")};
	rows[1] = (struct kit_row){0, a, NULL};
	rows[2] = (struct kit_row){3, a + 3, text("three")};
	CHECK_EQ(kit_rows_sum(rows, 3), 3 + 3 + 15 + 5);
	CHECK_EQ(kit_rows_sum(rows, 0), 0);
	kit_rows_negate(rows, 3);
	CHECK_EQ(a[0], -1);
	CHECK_EQ(a[2], 3);
	CHECK_EQ(a[5], -6);
	CHECK(rows[0].numbers == a && rows[2].numbers == a + 3 && !rows[1].name);
	CHECK_STR(rows[2].name, "Three");
}

TEST(arrays_of_strings)
{
	const char *const words[] = {"a", "", "three", NULL, "seventy"};
	char *many[] = {text("x"), text("yy"), NULL};

	CHECK_EQ(kit_arguments(words, 5), 10597);
	CHECK_EQ(kit_arguments(FILLED(words), 3), 105);
	CHECK_EQ(kit_arguments_null(FILLED(many)), 12);
}

TEST(graphs)
{
	struct kit_city *cities = memory(4 * sizeof *cities);

	memset(cities, 0, 4 * sizeof *cities);
	cities[0].roads[0] = &cities[1];
	cities[0].roads[1] = &cities[2];
	cities[1].roads[0] = &cities[2];
	cities[1].roads[2] = &cities[0];
	cities[2].roads[1] = &cities[2];
	cities[2].roads[2] = &cities[3];
	CHECK_EQ(kit_tour(cities), 4);
	CHECK_EQ(cities[0].visits, 2);
	CHECK_EQ(cities[1].visits, 1);
	CHECK_EQ(cities[2].visits, 3);
	CHECK_EQ(cities[3].visits, 1);
	CHECK(cities[1].roads[2] == &cities[0] && cities[2].roads[1] == &cities[2]);
}

TEST(unions_by_tag)
{
	struct kit_value *values = memory(4 * sizeof *values);

	memset(values, 0, 4 * sizeof *values);
	values[0] = (struct kit_value){KIT_NUMBER, {.number = 0x123456789}};
	values[1] = (struct kit_value){KIT_TEXT, {.text = text("seven..")}};
	values[2] = (struct kit_value){KIT_LIST, {.list = list_of(3)}};
	values[3] = (struct kit_value){KIT_NOTHING, {.number = 1}};
	CHECK_EQ(kit_values(values, 4), 0x123456789 + 7 + 6 + 1000);
	CHECK_EQ(values[0].as.number, 0x12345678a);
	CHECK_STR(values[1].as.text, "seven..");
	CHECK_EQ(values[2].as.list->next->value, 4);
	CHECK_EQ(values[3].as.number, 1);
}

TEST(sizes_from_fields)
{
	const double cells[] = {1, 2, 3, 4, 5, 6};
	struct kit_matrix *m = memory(sizeof *m);

	*m = (struct kit_matrix){"m", {2, 3, FILLED(cells)}};
	CHECK(kit_trace(m) == 6);
}

TEST(memory_that_comes_out)
{
	char **names = memory(400 * sizeof *names);
	int **range = memory(sizeof *range);
	size_t *n = memory(sizeof *n);
	const char *name, *always, *again;

	kit_names(names, 400);
	CHECK_STR(names[0], "name 0");
	CHECK(!names[2]);
	CHECK_STR(names[399], "name 399");
	for (int i = 0; i < 400; i++)
		free(names[i]);
	*n = 99;
	CHECK_EQ(kit_new_range(range, n, 3000), 0);
	CHECK_EQ(*n, 3000);
	CHECK_EQ((*range)[2999], 2999);
	free(*range);
	*n = 99;
	*range = NULL;
	CHECK_EQ(kit_new_range(range, n, -1), -1);
	CHECK(!*range);
	kit_last_name(&name, &always);
	CHECK_STR(name, "the number 7");
	CHECK_STR(always, "green");
	kit_last_name(&name, &again);
	CHECK(again == always);
}

TEST(parts_here_and_there)
{
	int numbers[] = {1, 2};
	struct kit_row rows[2] = {{2, memory(8), text("heap")}, {2, numbers, NULL}};

	memcpy(rows[0].numbers, numbers, sizeof numbers);
	CHECK_EQ(kit_rows_sum(rows, 2), 3 + 4 + 3);
	kit_rows_negate(rows, 2);
	CHECK_EQ(rows[0].numbers[1], -2);
	CHECK_EQ(numbers[1], -2);
	CHECK_STR(rows[0].name, "Heap");
}

/* ---- handles ------------------------------------------------------------------------------------------------- */

TEST(handles)
{
	struct kit_stack *a = kit_stack_new(text("a")), *b = kit_stack_new(text("b"));
	struct kit_stack *both[3] = {a, NULL, b}, *opened = NULL;
	const char *name;

	CHECK(a && b && a != b);
	CHECK_EQ(kit_stack_push(a, 11), 0);
	CHECK_EQ(kit_stack_push(a, 12), 0);
	CHECK_EQ(kit_stack_push(b, 21), 0);
	CHECK_EQ(kit_stack_pop(a), 12);
	name = kit_stack_name(a);
	CHECK_STR(kit_stack_name(b), "b");
	CHECK_STR(name, "a");
	CHECK(kit_stack_self(a) == a);
	CHECK_EQ(kit_frame_value(kit_stack_top(b)), 21);
	CHECK_EQ(kit_stacks_sum(FILLED(both), 3), 11 + 21);
	CHECK_EQ(kit_stack_pop(NULL), -1);
	CHECK_EQ(kit_stacks_open(), 2);
	CHECK(!kit_stack_drop_if_empty(a));
	CHECK_EQ(kit_stack_pop(a), 11);
	CHECK(kit_stack_drop_if_empty(a));
	kit_stack_free(b);
	kit_stack_free(NULL);
	CHECK_EQ(kit_stacks_open(), 0);
	CHECK_EQ(kit_stack_open(&opened, -1), -1);
	CHECK(!opened);
	CHECK_EQ(kit_stack_open(&opened, 5), 0);
	CHECK_EQ(kit_stack_pop(opened), 5);
	kit_stack_free(opened);
}

TEST(handles_on_complete_types)
{
	struct kit_gauge *gauges[50];

	for (int i = 0; i < 50; i++)
		gauges[i] = kit_gauge_new(i * i);
	for (int i = 0; i < 50; i++)
		CHECK_EQ(kit_gauge_value(gauges[i]), i * i);
#ifdef KIT_REMOTE
	CHECK_EQ(gauges[7]->value, 0); /* ours is only its address */
#endif
	for (int i = 0; i < 50; i++)
		kit_gauge_free(gauges[i]);
}

TEST(handles_that_are_numbers)
{
	kit_slot taken[8], other;

	for (int i = 0; i < 8; i++) {
		taken[i] = kit_slot_take(100 + i);
		CHECK(taken[i] > 0);
	}
	CHECK_EQ(kit_slot_take(1), -1);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(kit_slot_value(taken[i]), 100 + i);
	CHECK_EQ(kit_slot_value(0), -1);
	CHECK_EQ(kit_slot_value(-5), -1);
	kit_slot_give(taken[3]);
	other = kit_slot_take(55);
	CHECK_EQ(kit_slot_value(other), 55);
#ifdef KIT_REMOTE
	CHECK_EQ(kit_slot_value(taken[3]), -2); /* it is closed, though its slot is taken anew */
	CHECK_EQ(kit_slot_value(12345), -2);
#endif
	CHECK_EQ(kit_ticket_number(kit_ticket(7)), 7);
	CHECK_EQ(kit_ticket(-1), 0);
	CHECK_EQ(kit_ticket_number(0), -1);
}

/* ---- calls --------------------------------------------------------------------------------------------------- */

TEST(asynchronous_calls_take_their_data_along)
{
	char word[] = "word", *out = memory(4096);
	int numbers[] = {0, 1};

	kit_forget();
	for (int i = 0; i < 300; i++) {
		word[3] = (char)('a' + i % 26);
		numbers[0] = i;
		kit_note(word, numbers, 2);
		memset(word, 'x', 4);
		memset(numbers, 0x55, sizeof numbers);
		memcpy(word, "wor", 3);
		numbers[1] = 1;
		if (i == 2)
			break;
	}
	CHECK_EQ(kit_noted(out, 4096), strlen("wora 1;worb 2;worc 3;"));
	CHECK_STR(out, "wora 1;worb 2;worc 3;");
}

TEST(calls_that_do_not_wait_with_many_arguments)
{
	char *part = text("0123456789"), *out = memory(4096);

	kit_forget();
	for (int i = 0; i < 3; i++)
		kit_note_part('a', 'b', 'c', 'd', 'e', 'f', 'g', (char)('0' + i), part, i, 3 + i);
	CHECK_EQ(kit_noted(out, 4096), strlen("abcdefg0 012;abcdefg1 123;abcdefg2 234;"));
	CHECK_STR(out, "abcdefg0 012;abcdefg1 123;abcdefg2 234;");
}

static void *call_a_lot(void *arg)
{
	const int me = (int)(intptr_t)arg;

	for (int i = 0; i < 500; i++) {
		char name[32], out[64], expected[64];
		char *joined;

		snprintf(name, sizeof name, "%d.%d", me, i);
		snprintf(expected, sizeof expected, "Hello, %s!", name);
		kit_greet(name, out, sizeof out);
		CHECK_STR(out, expected);
		joined = kit_join(name, expected);
		CHECK_EQ(strlen(joined), strlen(name) + strlen(expected));
		free(joined);
		snprintf(expected, sizeof expected, "the number %d", i);
		CHECK_STR(kit_describe(i), expected);
	}
	return NULL;
}

TEST(threads)
{
	pthread_t threads[4];

	for (intptr_t i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, call_a_lot, (void *)i), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

#ifdef KIT_REMOTE

/* ---- only where there are two sides -------------------------------------------------------------------------- */

#define CHECK_SAYS(call, error, words)                                                         \
	do {                                                                                   \
		CHECK_EQ(call, -(error));                                                      \
		if (!strstr(vmrpc_error_message(), words))                                     \
			TEST_FAIL("\"%s\" does not say \"%s\"", vmrpc_error_message(), words); \
	} while (0)

TEST(what_makes_no_sense_is_refused_in_words)
{
	long sum;
	int value;

	CHECK_SAYS(kit_sum_rpc(NULL, FILLED(((const int[]){1})), SIZE_MAX, &sum), EINVAL,
		   "kit.kit_sum: the length of 'numbers'");
	CHECK_SAYS(kit_sum_rpc(NULL, FILLED(((const int[]){1})), SIZE_MAX / 2, &sum), EMSGSIZE, "'numbers' is larger");
	CHECK_SAYS(kit_sum_span_rpc(NULL, NULL, FILLED(((const int[]){1})), &sum), EFAULT, "'numbers'");
	CHECK_SAYS(kit_stack_push_rpc(NULL, NULL, 1, &value), EINVAL, "'stack' is NULL");
	CHECK_SAYS(kit_rows_sum_rpc(NULL, &(struct kit_row){SIZE_MAX, &value, NULL}, 1, &sum), EINVAL, "below 'rows'");
	CHECK_SAYS(kit_stack_pop_rpc(NULL, (struct kit_stack *)&value, &value), EBADF, "'stack' is no handle");
	errno = 0;
	CHECK_EQ(kit_stack_push(NULL, 1), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(kit_sum_array(FILLED(((const int[]){1})), SIZE_MAX), -1);
}

TEST(circles_end)
{
	struct kit_node *list = list_of(3);
	long sum;
	int r;

	list->next->next->next = list;
	r = kit_list_sum_rpc(NULL, list, &sum);
	CHECK(r == -EMSGSIZE || r == -ENOMEM);
	list->next->next->next = NULL;
	CHECK_EQ(kit_list_sum(list), 6);
}

TEST(shared_addresses_stay_where_they_are)
{
	int here = 1, result;
	int *shared;

	CHECK_SAYS(kit_in_place_rpc(NULL, &here, &result), EFAULT, "has to lie in memory from vmrpc_malloc()");
	shared = vmrpc_malloc(NULL, sizeof *shared);
	*shared = 41;
	CHECK_EQ(kit_in_place(shared), 42);
	CHECK_EQ(*shared, 42);
}

static void *call_with_locals(void *arg)
{
	char line[64] = "on the shared stack";
	int here = 1, there[3] = {1, 2, 3};

	(void)arg;
	CHECK_EQ(kit_in_place(&here), 2); /* it would be refused elsewhere */
	CHECK_EQ(here, 2);
	kit_upper(line, 6);
	CHECK_STR(line, "ON THE shared stack");
	CHECK(kit_address(there, 3, 1) == there + 1);
	kit_greet("me", line, sizeof line);
	CHECK_STR(line, "Hello, me!");
	return NULL;
}

TEST(locals_of_an_rpc_stack_are_shared)
{
	struct vmrpc *conn;
	int r;

	CHECK_EQ(vmrpc_connect(&conn, &kit_service, NULL), 0);
	kit_forget();
	r = vmrpc_stack_call(conn, call_with_locals, NULL, NULL);
	if (r == -ENOTSUP)
		TEST_SKIP("%s", vmrpc_error_message());
	CHECK_EQ(r, 0);
	vmrpc_close(conn);
}

TEST(a_renewed_handle_is_another)
{
	struct kit_stack *old = kit_stack_new("old"), *new;
	int value;

	kit_stack_push(old, 1);
	new = kit_stack_renew(old);
	CHECK_EQ(kit_stack_pop(new), -1);
	CHECK_EQ(kit_stack_push(new, 2), 0);
	CHECK_EQ(kit_stack_pop(new), 2);
	CHECK_SAYS(kit_stack_pop_rpc(NULL, old, &value), EBADF, "closed");
	kit_stack_free(new);
	CHECK_EQ(kit_stacks_open(), 0);
}

TEST(closed_handles_are_known_to_be)
{
	struct kit_stack *stack = kit_stack_new("gone");
	struct kit_frame *top;
	int value;

	kit_stack_push(stack, 1);
	top = kit_stack_top(stack);
	CHECK_EQ(kit_frame_value(top), 1);
	CHECK_SAYS(kit_frame_value_rpc(NULL, (struct kit_frame *)stack, &value), EBADF, "another type");
	kit_stack_free(stack);
	CHECK_SAYS(kit_stack_pop_rpc(NULL, stack, &value), EBADF, "closed");
	CHECK_SAYS(kit_frame_value_rpc(NULL, top, &value), EBADF, "closed");
}

TEST(what_a_dead_client_left_open_is_closed)
{
	struct kit_stack *opened;
	pid_t child;
	int status;

	child = fork(); /* before there are threads */
	if (child == 0) {
		kit_stack_free(kit_stack_new("closed"));
		kit_stack_new("left");
		kit_stack_push(kit_stack_new("left too"), 1);
		kit_slot_take(1);
		kit_stack_open(&opened, 1);
		raise(SIGKILL);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status));
	for (int i = 0; kit_stacks_open() != 0; i++) {
		CHECK(i < 30000);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

TEST(results_in_the_region_need_no_copy)
{
	struct kit_point *point = kit_shared_point(1, 2);
	int *numbers = kit_range(3);

	CHECK(point->x == 1 && point->y == 2);
	vmrpc_free(point);
	CHECK_EQ(kit_sum(numbers, 3), 3);
	kit_free(numbers);
}

/* Whatever else happens, nothing that calls took is lost. */
TEST(calls_leave_nothing_in_the_heap)
{
	struct kit_stack *stack = kit_stack_new("s");
	unsigned char *large = malloc(200000);
	size_t n;

	memset(large, 1, 200000);
	for (int i = 0; i < 400; i++) { /* more than the heap holds */
		kit_checksum(large, 200000);
		free(kit_bytes(&n));
		free(kit_join("a", "b"));
		kit_describe(i);
		kit_note("x", &i, 1);
		kit_note_part('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', (char *)large, 1000, 200000);
		kit_forget();
		CHECK_EQ(kit_stack_pop((struct kit_stack *)&n), -1);
	}
	kit_stack_free(stack);
	CHECK_EQ(kit_checksum(large, 200000), kit_checksum(large, 200000));
	free(large);
}

/* Nor do calls that time out, once the server is done with them. */
TEST(calls_that_time_out_leave_nothing_in_the_heap)
{
	enum { SIZE = 1 << 20, ROUNDS = 8 };
	unsigned char *large = calloc(1, SIZE);
	struct vmrpc *conn;
	char address[160];

	snprintf(address, sizeof address, "%s&heap=3M", getenv("VMRPC_KIT"));
	CHECK_EQ(vmrpc_connect(&conn, &kit_service, address), 0);
	vmrpc_close(conn);
	memcpy(strstr(address, "timeout=20s"), "timeout=9ms", 11);
	CHECK_EQ(vmrpc_connect(&conn, &kit_service, address), 0);
	for (int i = 0, tries = 0; i < ROUNDS; tries++) {
		int r = kit_doze_rpc(conn, 50, large, SIZE);

		CHECK(tries < 2000);
		if (r == -ETIMEDOUT)
			i++;
		else if (r != -ENOMEM && r != -EMFILE && r != 0) /* it still dozes; or we did */
			TEST_FAIL("%d: %s", r, vmrpc_error_message());
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	vmrpc_close(conn);
	free(large);
}

/* The server is a child that lives as long as the tests. Both sides' options come from the environment. */
static char folder[] = "/tmp/vmrpc-test-XXXXXX";

static pid_t start_server(const char *program)
{
	const char *trust = getenv("VMRPC_TEST_TRUST"), *map = getenv("VMRPC_TEST_MAP");
	char options[64], address[128];
	pid_t pid;

	snprintf(options, sizeof options, "trust=%s&map=%s", trust ? trust : "yes", map ? map : "same");
	setenv("XDG_RUNTIME_DIR", folder, 1);
	snprintf(address, sizeof address, "local:kit?timeout=20s&%s", options);
	setenv("VMRPC_KIT", address, 1);
	snprintf(address, sizeof address, "local:kit?heap=64M&%s", options);
	pid = fork();
	if (pid == 0) {
		char *words[16], *emulator = strdup(getenv("VMRPC_EMULATOR") ? getenv("VMRPC_EMULATOR") : "");
		unsigned n = 0;

		for (char *word = strtok(emulator, " "); word && n < 13; word = strtok(NULL, " "))
			words[n++] = word;
		words[n++] = (char *)(uintptr_t)program;
		words[n++] = address;
		words[n] = NULL;
		execvp(words[0], words);
		perror(words[0]);
		_exit(1);
	}
	return pid;
}

int main(int argc, char **argv)
{
	char path[128];
	pid_t server;
	int failed, status;

	if (argc < 2 || !mkdtemp(folder)) {
		fprintf(stderr, "usage: kit_test SERVER [TEST...]\n");
		return 2;
	}
	server = start_server(argv[1]);
	failed = test_main(argc - 1, argv + 1);
	kill(server, SIGTERM);
	if (waitpid(server, &status, 0) != server || status != 0) {
		fprintf(stderr, "the server ended with status 0x%x\n", status);
		failed = 1;
	}
	snprintf(path, sizeof path, "%s/vmrpc", folder);
	rmdir(path);
	if (rmdir(folder) < 0) {
		fprintf(stderr, "something was left in %s\n", folder);
		failed = 1;
	}
	return failed;
}
#else
TEST_MAIN()
#endif
