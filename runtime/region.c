/* The region: its layout, and where it is mapped. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "internal.h"

#define REGION_LIMIT ((uint64_t)1 << 42)
/* Address space kept free behind what exists, for heaps added later. */
#define RESERVE_MIN ((uint64_t)16 << 30)
/* Null pointers, and those of which half was lost, lead below this. */
#define LOWEST_PLACE ((uint64_t)4 << 30)

static uint64_t pages(uint64_t size)
{
	return (size + VMRPC__PAGE - 1) / VMRPC__PAGE * VMRPC__PAGE;
}

int vmrpc__layout_plan(struct vmrpc__control *ret_layout, uint32_t n_channels, size_t stack_size, size_t heap_size)
{
	struct vmrpc__control layout = {
		.magic = VMRPC__MAGIC,
		.protocol = VMRPC__PROTOCOL,
		.n_channels = n_channels,
		.stack_size = pages(stack_size),
	};
	uint64_t offset = VMRPC__PAGE;

	if (n_channels == 0 || n_channels > VMRPC__CHANNELS_LIMIT)
		return vmrpc__fail(EINVAL, "channels=%u: from 1 to %u are possible", n_channels, VMRPC__CHANNELS_LIMIT);
	if (stack_size < VMRPC__STACK_MIN || stack_size > VMRPC__STACK_LIMIT)
		return vmrpc__fail(EINVAL, "stack=%zuK: from %zuK to %zuK are possible", stack_size >> 10,
				   VMRPC__STACK_MIN >> 10, VMRPC__STACK_LIMIT >> 10);
	if (heap_size == 0 || heap_size > VMRPC__HEAP_LIMIT)
		return vmrpc__fail(EINVAL, "heap=%zuM: up to %zuM are possible", heap_size >> 20,
				   VMRPC__HEAP_LIMIT >> 20);

	layout.doorplates = offset;
	offset += pages(n_channels * sizeof(struct vmrpc__doorplate));
	layout.channels = offset;
	offset += (uint64_t)n_channels * sizeof(struct vmrpc__channel_block);
	layout.posts_to_server = offset;
	offset += pages(sizeof(struct vmrpc__free_ring));
	layout.posts_to_client = offset;
	offset += pages(sizeof(struct vmrpc__free_ring));
	layout.stacks = offset;
	offset += n_channels * (VMRPC__PAGE + layout.stack_size);
	layout.client_heap = (struct vmrpc__range){offset, pages(heap_size)};
	offset += layout.client_heap.size;
	layout.server_heap = (struct vmrpc__range){offset, pages(heap_size)};
	offset += layout.server_heap.size;
	layout.size = offset;
	layout.reserved = offset * 2 > RESERVE_MIN ? offset * 2 : RESERVE_MIN;
	*ret_layout = layout;
	return 0;
}

int vmrpc__layout_check(const struct vmrpc__control *layout, size_t region_size, size_t region_reserved)
{
	struct vmrpc__control expected;
	int r;

	if (layout->magic != VMRPC__MAGIC || layout->protocol != VMRPC__PROTOCOL)
		return vmrpc__fail(EPROTO, "the server's control page is none of vmrpc's");
	r = vmrpc__layout_plan(&expected, layout->n_channels, layout->stack_size, layout->client_heap.size);
	if (r < 0)
		return vmrpc__fail_because(EPROTO, "the server's control page makes no sense");
	expected.reserved = layout->reserved;
	if (memcmp(&expected, layout, sizeof expected) != 0 || layout->size != region_size ||
	    layout->reserved != region_reserved || layout->reserved < layout->size || layout->reserved > REGION_LIMIT)
		return vmrpc__fail(EPROTO, "the server's control page contradicts itself");
	return 0;
}

/* Ranges that are free in nearly every process, the second also under ThreadSanitizer, whose shadow takes most of
 * the address space. AddressSanitizer leaves both alone. */
static const struct {
	uint64_t low, high;
} places[] = {
	{UINT64_C(0x200000000000), UINT64_C(0x500000000000)},
	{UINT64_C(0x7e8000000000), UINT64_C(0x7ef000000000)},
};

static uintptr_t good_place(unsigned n, size_t size)
{
	const unsigned n_places = sizeof places / sizeof places[0];
	uint64_t slots, random = 0, step = UINT64_C(1) << 30;

	size = (size + step - 1) / step * step;
	slots = (places[n % n_places].high - places[n % n_places].low) / size;
	if (slots == 0)
		return 0;
	if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
		random = (uint64_t)vmrpc__now() * UINT64_C(0x9e3779b97f4a7c15);
	return (uintptr_t)(places[n % n_places].low + (random >> 8) % slots * size);
}

bool vmrpc__region_may_lie_at(const struct vmrpc__region *region, uint64_t address, bool trust)
{
	if (address % VMRPC__PAGE || address < LOWEST_PLACE)
		return false;
	for (unsigned i = 0; i < sizeof places / sizeof places[0] && !trust; i++)
		if (address >= places[i].low && address < places[i].high &&
		    region->reserved <= places[i].high - address)
			return true;
	return trust;
}

int vmrpc__region_map(struct vmrpc__region *region, uintptr_t address)
{
	unsigned char *base;

	if (address && address < VMRPC__PAGE)
		address = good_place((unsigned)(address - VMRPC__PLACE_GOOD), region->reserved);
	/* The address is a wish: MAP_FIXED_NOREPLACE would say the same, but ThreadSanitizer turns that into address 0.
	 */
	base = mmap((void *)address, region->reserved, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, region->fd,
		    0);
	if (base != MAP_FAILED && address && base != (unsigned char *)address) {
		munmap(base, region->reserved);
		return -EEXIST;
	}
	if (base == MAP_FAILED)
		return address ? -EEXIST
			       : vmrpc__fail(errno,
					     "could not map a region of %zuM: %s; if the address space is limited "
					     "(ulimit -v), raise that or lower heap=",
					     region->reserved >> 20, strerror(errno));
	region->base = base;
	return 0;
}

void vmrpc__region_unmap(struct vmrpc__region *region)
{
	if (region->base)
		munmap(region->base, region->reserved);
	region->base = NULL;
}

int vmrpc__region_lock(struct vmrpc__region *region)
{
	size_t size = atomic_load_explicit(&region->size, memory_order_relaxed);

	if (mlock(region->base, size) < 0)
		return vmrpc__fail(
			errno,
			"lock=yes: could not keep %zuM in memory: %s; raise the limit (ulimit -l) or lower heap=",
			size >> 20, strerror(errno));
	region->locked = true;
	return 0;
}

bool vmrpc__region_holds(const struct vmrpc__region *region, uint64_t offset, uint64_t size, size_t alignment)
{
	uint64_t end;

	return offset >= VMRPC__PAGE && offset % alignment == 0 && !__builtin_add_overflow(offset, size, &end) &&
	       end <= atomic_load_explicit(&region->size, memory_order_relaxed);
}
