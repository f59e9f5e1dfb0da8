/* Replies hold nothing but results: thunks are called with frames full of old bytes. */
#include <errno.h>

#include "test.h"
#include "wide.rpc.h"

static unsigned char frame[VMRPC_FRAME_MAX] __attribute__((aligned(8)));

static const struct vmrpc_method *method_named(const char *name)
{
	for (uint32_t i = 0; i < wide_service.n_methods; i++)
		if (strcmp(wide_service.methods[i].name, name) == 0)
			return &wide_service.methods[i];
	TEST_FAIL("there is no method %s", name);
}

static const unsigned char *serve(const char *name)
{
	const struct vmrpc_method *method = method_named(name);

	memset(frame, 0xff, sizeof frame);
	CHECK(method->serve);
	CHECK_EQ(method->serve(frame), 0);
	return frame + method->result_offset;
}

static void check_zero(const unsigned char *result, size_t from, size_t to)
{
	for (; from < to; from++)
		if (result[from])
			TEST_FAIL("byte %zu of the result is 0x%02x", from, result[from]);
}

TEST(padding_of_results_is_zeroed)
{
	const unsigned char *result = serve("wide_padded");

	check_zero(result, 1, offsetof(struct wide_padded, i));
	check_zero(result, offsetof(struct wide_padded, s) + 2, offsetof(struct wide_padded, l));
	for (unsigned i = 0; i < 2; i++)
		check_zero(result, offsetof(struct wide_padded, inner[i]) + 1,
			   offsetof(struct wide_padded, inner[i].d));
}

TEST(errno_comes_back_only_when_it_was_set)
{
	int32_t error;

	errno = EDOM;
	memset(frame, 0, sizeof frame);
	CHECK_EQ(method_named("wide_errno")->serve(frame), 0);
	memcpy(&error, frame + 12, sizeof error);
	CHECK_EQ(error, 0);
	frame[0] = ENOTTY;
	CHECK_EQ(method_named("wide_errno")->serve(frame), 0);
	memcpy(&error, frame + 12, sizeof error);
	CHECK_EQ(error, ENOTTY);
}

TEST(skipped_functions_are_not_served)
{
	CHECK(!method_named("wide_skipped")->serve);
	CHECK(!wide_service.methods[39].serve); /* a hole before VMRPC_ID(40) */
}

TEST_MAIN()
