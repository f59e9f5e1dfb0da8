/* The layout of a region and of the messages that set it up: everything both sides must agree on.
 * Structs, values and assertions only. Whatever a peer can write here is read once, copied, then checked.
 *
 *   control page | doorplates | channel blocks | free rings | RPC stacks, each above its guard page | heaps
 *
 * The server lays the region out and writes the control page before the client sees it; both keep the
 * geometry in private memory from then on. All offsets count bytes from the start of the region. */
#ifndef VMRPC_WIRE_H
#define VMRPC_WIRE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define VMRPC__LINE 64
#define VMRPC__PAGE 4096

#define VMRPC__MAGIC	0x3130637072766d76ull /* "vmvrpc01" */
#define VMRPC__PROTOCOL 1u		      /* of this file; sides of different protocols refuse each other */

/* ---- a channel's calls ------------------------------------------------------------------------------- */

/* The state word of a cell. Two sides take turns: whoever received the last message may write the cell,
 * and publishes by raising the turn. The client writes odd turns, the server even ones. */
#define VMRPC__SLEEP	      1u /* the side waiting for the next turn sleeps: wake it */
#define VMRPC__KICK	      2u /* set by a side on itself: look up, something else happened */
#define VMRPC__TURN	      4u /* one turn */
#define VMRPC__TURN_OF(state) ((state) & ~(uint32_t)3)

/* What a message is, in the low bits of its flags. */
enum {
	VMRPC__CALL = 1,
	VMRPC__REPLY = 2,  /* method holds the status: 0, or a negative errno */
	VMRPC__SYSTEM = 3, /* a call of the runtime itself; method is a VMRPC__SYSTEM_* */
	VMRPC__BYE = 4,	   /* the client thread has ended; no reply */
	VMRPC__KIND = 7,
};
enum {
	VMRPC__SPILLED = 1 << 3,  /* the payload is a struct vmrpc__spill; the frame lies there */
	VMRPC__ON_STACK = 1 << 4, /* run on the client's RPC stack, below vmrpc__spill.stack_pointer */
	VMRPC__EARLIER = 1 << 5,  /* reply: the status is that of an earlier asynchronous call; this one did not run */
};

/* The rest of the flags: the sender's processor, modulo 1024, as last seen; a hint. */
#define VMRPC__CPU_SHIFT 22 /* in the head */

#define VMRPC__CELL_WORDS 7 /* 56 bytes of frame */

struct vmrpc__cell {
	_Atomic uint32_t state;
	_Atomic uint32_t head; /* method, and flags in the upper half */
	_Atomic uint64_t words[VMRPC__CELL_WORDS];
};

/* Payload of a cell whose frame lies elsewhere in the region. */
struct vmrpc__spill {
	uint64_t offset;
	uint64_t size;
	uint64_t stack_pointer; /* offset; with VMRPC__ON_STACK */
};

enum {
	VMRPC__SYSTEM_FLUSH = 1,     /* run what is in the ring, report the first failure */
	VMRPC__SYSTEM_HEAP_ADD = 2,  /* words: in size; out offset and size of each side's half */
	VMRPC__SYSTEM_HEAP_DROP = 3, /* words: in offset of the client's half, which is empty */
	VMRPC__SYSTEM_HEAP_OPEN = 4, /* words: in offset of the client's half; both halves may be used */
};

#define VMRPC__HEAP_GRANULE ((uint64_t)64 << 10) /* heaps added later come in multiples of this */

/* The ring of calls that do not wait: client to server. A cell is full when its state equals the lap. */
#define VMRPC__RING_CELLS 256u

/* How far the server has come; published in batches. Low bits as in a cell's state. */
struct vmrpc__progress {
	_Atomic uint32_t done; /* calls done, times VMRPC__TURN */
};

/* Opening and closing a channel. Each side writes its own word: the generation, times two, plus one while open. They
 * lie together, so that looking at all of them touches few pages. */
struct vmrpc__doorplate {
	_Atomic uint32_t client;
	_Atomic uint32_t server;
};

#define VMRPC__SPILL_SIZE 8192u /* each side's, per channel; larger frames go to the heap */

struct vmrpc__channel_block {
	_Alignas(VMRPC__LINE) struct vmrpc__cell cell;
	_Alignas(2 * VMRPC__LINE) struct vmrpc__progress progress; /* its own line, and not the cell's prefetch pair */
	_Alignas(VMRPC__PAGE) struct vmrpc__cell ring[VMRPC__RING_CELLS];
	_Alignas(VMRPC__PAGE) unsigned char client_spill[VMRPC__SPILL_SIZE];
	unsigned char server_spill[VMRPC__SPILL_SIZE];
};

/* ---- freeing the other side's blocks ------------------------------------------------------------------- */

#define VMRPC__FREE_SLOTS 1008u

/* One writer, one reader. slots hold offsets of blocks. */
struct vmrpc__free_ring {
	_Alignas(VMRPC__LINE) _Atomic uint32_t tail; /* written by the side that frees */
	_Alignas(VMRPC__LINE) _Atomic uint32_t head; /* written by the owner of the blocks */
	_Atomic uint64_t slots[VMRPC__FREE_SLOTS];
};

/* ---- the control page -------------------------------------------------------------------------------- */

struct vmrpc__range {
	uint64_t offset, size;
};

struct vmrpc__control {
	uint64_t magic;
	uint32_t protocol;
	uint32_t n_channels;
	uint64_t size;	     /* bytes of the region that exist */
	uint64_t reserved;   /* bytes of address space to reserve: heaps may be added up to here */
	uint64_t doorplates; /* offset of the first struct vmrpc__doorplate */
	uint64_t channels;   /* offset of the first struct vmrpc__channel_block */
	uint64_t posts_to_server, posts_to_client; /* offsets of the free rings */
	uint64_t stacks;			   /* offset of the first stack's guard page */
	uint64_t stack_size;			   /* without its guard page */
	struct vmrpc__range client_heap, server_heap;
};

/* ---- the handshake ------------------------------------------------------------------------------------ */

/* client: HELLO                        server: REGION with the memory, or REFUSED
 * client: PLACED (mapped, or not)      server: PLACE (try there) ... or
 * client: METHODS ...                  server: METHODS_OK ..., one for each
 * client: LAYOUT ..., where it likes   server: LAYOUT ..., one for each
 * client: READY                        server: READY, or REFUSED */
enum vmrpc__message_kind {
	VMRPC__HELLO = 1,
	VMRPC__REGION,
	VMRPC__PLACED,
	VMRPC__PLACE,
	VMRPC__METHODS,
	VMRPC__METHODS_OK,
	VMRPC__READY,
	VMRPC__REFUSED,
	VMRPC__LAYOUT,
};

#define VMRPC__NAME_MAX		   64
#define VMRPC__CPUS		   1024
#define VMRPC__METHODS_PER_MESSAGE 128
#define VMRPC__LAYOUTS		   16 /* a client may ask for */
#define VMRPC__PLACE_ROUNDS	   4  /* tries to find one address for both */

enum {
	VMRPC__HELLO_MAP_ANY = 1 << 0,	 /* do not look for one address */
	VMRPC__HELLO_TRUST = 1 << 1,	 /* the client trusts the server */
	VMRPC__HELLO_CALLBACKS = 1 << 2, /* the methods that follow are callbacks (METHODS) */
	VMRPC__PLACE_FINAL = 1 << 3,	 /* no more tries: the addresses stay different (PLACE) */
};

struct vmrpc__hello {
	uint32_t kind;
	uint32_t protocol;
	uint64_t magic;
	uint32_t flags;
	uint32_t major, minor; /* of the service */
	uint32_t n_methods, n_callbacks;
	uint32_t n_channels; /* 0: as the server likes; so too the sizes */
	uint64_t heap_size, stack_size;
	uint64_t cpus[VMRPC__CPUS / 64]; /* where the sender may run */
	char service[VMRPC__NAME_MAX];
};

struct vmrpc__region_message { /* REGION, PLACED, PLACE */
	uint32_t kind;
	uint32_t flags; /* REGION: VMRPC__HELLO_TRUST where the server trusts the client, VMRPC__HELLO_MAP_ANY */
	uint64_t size, reserved;
	uint64_t address; /* the sender's, or where it could be; 0: nowhere better */
	uint64_t cpus[VMRPC__CPUS / 64];
};

struct vmrpc__method_entry {
	uint64_t digest;
	uint64_t name; /* hash of the name */
};

struct vmrpc__methods_message { /* METHODS, METHODS_OK */
	uint32_t kind;
	uint32_t flags; /* VMRPC__HELLO_CALLBACKS */
	uint32_t first, n;
	struct vmrpc__method_entry entries[VMRPC__METHODS_PER_MESSAGE]; /* METHODS_OK: name is 0, or a positive errno */
};

/* What the server's method of that name looks like, in words, for methods that were refused. */
struct vmrpc__layout_message { /* LAYOUT */
	uint32_t kind;
	uint32_t reserved;
	uint64_t name;	 /* hash */
	char text[1024]; /* cut off where it is longer; "" where nothing is known */
};

struct vmrpc__ready_message { /* READY, REFUSED */
	uint32_t kind;
	uint32_t error; /* positive errno */
	char text[512]; /* REFUSED: what and what to do, for the client's vmrpc_error_message() */
};

_Static_assert(sizeof(struct vmrpc__cell) == VMRPC__LINE, "a cell is one cache line");
_Static_assert(sizeof(struct vmrpc__spill) <= VMRPC__CELL_WORDS * 8, "a spill fits a cell");
_Static_assert(sizeof(struct vmrpc__channel_block) % VMRPC__PAGE == 0, "channel blocks are whole pages");
_Static_assert(offsetof(struct vmrpc__channel_block, ring) == VMRPC__PAGE, "an idle channel touches one page");
_Static_assert(sizeof(struct vmrpc__free_ring) <= 3 * VMRPC__PAGE, "a free ring fits three pages");
_Static_assert(sizeof(struct vmrpc__control) <= VMRPC__PAGE, "one control page");

#endif
