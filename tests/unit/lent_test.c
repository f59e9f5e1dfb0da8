/* Which memory of a region a peer may name: every border of every area. */
#include "pass/pass.h"
#include "test.h"

static struct vmrpc__session session;

static void plan(uint32_t n_channels, size_t stack_size, size_t heap_size)
{
	CHECK_EQ(vmrpc__layout_plan(&session.layout, n_channels, stack_size, heap_size), 0);
	atomic_store(&session.region.size, session.layout.size);
}

static uint64_t lent(uint64_t offset)
{
	return vmrpc__lent(&session, offset);
}

/* Bytes first..end may be used, and those around them not. */
static void check_area(uint64_t first, uint64_t end)
{
	CHECK_EQ(lent(first - 1), 0);
	CHECK_EQ(lent(first), end - first);
	CHECK_EQ(lent(first + 1), end - first - 1);
	CHECK_EQ(lent(first + (end - first) / 2), end - first - (end - first) / 2);
	CHECK_EQ(lent(end - 1), 1);
	CHECK_EQ(lent(end), 0);
}

static void check_nothing(uint64_t first, uint64_t end)
{
	for (uint64_t offset = first; offset < end; offset += 64)
		CHECK_EQ(lent(offset), 0);
	CHECK_EQ(lent(end - 1), 0);
}

static void check_all(void)
{
	const struct vmrpc__control *layout = &session.layout;
	const uint64_t stride = VMRPC__PAGE + layout->stack_size;
	const uint64_t spill = offsetof(struct vmrpc__channel_block, client_spill);

	check_nothing(0, VMRPC__PAGE); /* the control page */
	check_nothing(layout->doorplates, layout->channels);
	for (uint64_t i = 0; i < layout->n_channels; i++) {
		const uint64_t block = layout->channels + i * sizeof(struct vmrpc__channel_block);

		check_nothing(block, block + spill); /* cell, progress, ring */
		check_area(block + spill, block + sizeof(struct vmrpc__channel_block));
	}
	check_nothing(layout->posts_to_server, layout->stacks);
	for (uint64_t i = 0; i < layout->n_channels; i++) {
		const uint64_t guard = layout->stacks + i * stride;

		check_nothing(guard, guard + VMRPC__PAGE);
		if (i + 1 < layout->n_channels)
			check_area(guard + VMRPC__PAGE, guard + stride);
		else
			CHECK_EQ(lent(guard + VMRPC__PAGE), stride - VMRPC__PAGE); /* the heap is next */
	}
	CHECK_EQ(lent(layout->client_heap.offset), layout->size - layout->client_heap.offset);
	CHECK_EQ(lent(layout->client_heap.offset - 1), 1);
	CHECK_EQ(lent(layout->size - 1), 1);
	CHECK_EQ(lent(layout->size), 0);
	CHECK_EQ(lent(layout->size + 1), 0);
	CHECK_EQ(lent(layout->reserved), 0);
	CHECK_EQ(lent(UINT64_MAX), 0);
	CHECK_EQ(lent(UINT64_MAX - layout->size), 0);
	CHECK_EQ(lent(UINT64_C(1) << 63), 0);
}

TEST(every_border)
{
	plan(4, 64 << 10, 1 << 20);
	check_all();
}

TEST(one_channel)
{
	plan(1, VMRPC__STACK_MIN, 1);
	check_all();
}

TEST(many_channels)
{
	plan(200, 128 << 10, 16 << 20);
	check_all();
}

TEST(heaps_added_later)
{
	uint64_t size;

	plan(4, 64 << 10, 1 << 20);
	size = session.layout.size;
	atomic_store(&session.region.size, size + VMRPC__HEAP_GRANULE);
	CHECK_EQ(lent(size), VMRPC__HEAP_GRANULE);
	CHECK_EQ(lent(size - 1), VMRPC__HEAP_GRANULE + 1);
	CHECK_EQ(lent(size + VMRPC__HEAP_GRANULE - 1), 1);
	CHECK_EQ(lent(size + VMRPC__HEAP_GRANULE), 0);
}

TEST_MAIN()
