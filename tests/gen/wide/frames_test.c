/* Frames hold nothing but what they carry. In this program the test itself is what stubs call, and what calls thunks.
 */
#include <errno.h>

#include "test.h"
#include "wide.rpc.h"

static unsigned char captured[VMRPC_FRAME_MAX];
static const struct vmrpc_method *method;
static unsigned n_flushes;

int vmrpc_stub_call(struct vmrpc *conn, const struct vmrpc_service *service, uint32_t index, void *frame)
{
	(void)conn;
	method = &service->methods[index];
	CHECK(index < service->n_methods);
	CHECK_EQ(method->frame_size % 8, 0);
	CHECK_EQ(method->result_offset % 8, 0);
	if (frame)
		memcpy(captured, frame, method->frame_size);
	errno = EAGAIN; /* as waiting may do */
	return 0;
}

int vmrpc_stub_flush(struct vmrpc *conn, const struct vmrpc_service *service)
{
	(void)conn;
	(void)service;
	n_flushes++;
	return 0;
}

int vmrpc_stub_skipped(const struct vmrpc_service *service, uint32_t index)
{
	(void)service;
	(void)index;
	return -ENOSYS;
}

void vmrpc_stub_failed(const struct vmrpc_service *service, uint32_t index, int error)
{
	(void)service;
	(void)index;
	TEST_FAIL("failed with %d", error);
}

static void check_zero(size_t from, size_t to)
{
	for (; from < to; from++)
		if (captured[from])
			TEST_FAIL("byte %zu of the frame of %s is 0x%02x", from, method->name, captured[from]);
}

TEST(padding_of_structs_is_zeroed)
{
	struct wide_padded padded;

	memset(&padded, 0xff, sizeof padded);
	wide_padded_rpc(NULL, padded, 'x', &padded);
	CHECK_EQ(captured[offsetof(struct wide_padded, c)], 0xff);
	check_zero(1, offsetof(struct wide_padded, i));
	check_zero(offsetof(struct wide_padded, s) + 2, offsetof(struct wide_padded, l));
	for (unsigned i = 0; i < 2; i++)
		check_zero(offsetof(struct wide_padded, inner[i]) + 1, offsetof(struct wide_padded, inner[i].d));
	CHECK_EQ(captured[sizeof padded], 'x');
	check_zero(sizeof padded + 1, method->frame_size);
}

TEST(unused_bits_are_zeroed)
{
	struct wide_bits bits;
	size_t n_ones = 0;

	memset(&bits, 0xff, sizeof bits);
	wide_bits_rpc(NULL, bits, &bits);
	for (size_t i = 0; i < sizeof bits; i++)
		n_ones += (size_t)__builtin_popcount(captured[i]);
	CHECK_EQ(n_ones, 3 + 9 + 40 + 1);
}

TEST(holes_between_arguments_are_zeroed)
{
	wide_many_rpc(NULL, -1, -1, -1, -1, 1, 1, -1, 1, true, 1, -1, &(size_t){0});
	check_zero(1, 2); /* between char and short */
	check_zero(method->result_offset, method->frame_size);
}

TEST(tables_say_what_the_header_says)
{
	wide_note(1);
	CHECK_EQ(method->flags, VMRPC_METHOD_ASYNC);
	wide_again(1);
	CHECK_EQ(method->flags, VMRPC_METHOD_IDEMPOTENT);
	wide_on_stack(1);
	CHECK_EQ(method->flags, VMRPC_METHOD_SHARED_STACK);
	wide_sleep(1);
	CHECK_EQ(method->timeout_ms, 50);
	wide_notes();
	CHECK_EQ(method - wide_service.methods, 40);
	CHECK_EQ(wide_service.major, 1);
	CHECK_EQ(n_flushes, 0);
	wide_settle();
	CHECK_EQ(n_flushes, 1);
	for (uint32_t i = 0; i < wide_service.n_methods; i++)
		for (uint32_t j = 0; j < i; j++)
			CHECK(wide_service.methods[i].digest != wide_service.methods[j].digest);
	CHECK_STR(wide_service.methods[0].layout, "i32 wide_add(i32, i32)");
}

TEST(errno_is_left_alone_by_success)
{
	errno = EDOM;
	wide_errno(0);
	CHECK_EQ(errno, EDOM);
}

TEST(six_scalars_and_a_result_fit_the_cell)
{
	wide_names_rpc(NULL, 1, 2, 3, 4, 5, 6, &(int){0});
	CHECK(method->frame_size <= 56);
}

TEST_MAIN()
