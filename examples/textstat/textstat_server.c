/* The server's side of textstat: takes each frame apart and calls the library. The whole program of the server, too:
 *
 *	textstat_server ADDRESS */
#include <stdio.h>

#include <vmrpc/error.h>
#include <vmrpc/server.h>

#include "textstat.h"
#include "textstat_rpc.h"

/* A pointer as the client sees it, as we see it: the same where both have the memory at one address. */
static void *here(const void *clients)
{
	return (char *)(uintptr_t)clients + vmrpc_offset(vmrpc_current());
}

static int serve_textstat_add(void *arg)
{
	struct textstat_add_frame *frame = arg;

	frame->result = textstat_add(here(frame->text));
	return 0;
}

static int serve_textstat_total(void *arg)
{
	struct textstat_total_frame *frame = arg;

	frame->result = textstat_total();
	return 0;
}

static int serve_textstat_count(void *arg)
{
	struct textstat_count_frame *frame = arg;

	frame->result = textstat_count(here(frame->word));
	return 0;
}

static int serve_textstat_top(void *arg)
{
	struct textstat_top_frame *frame = arg;

	frame->result = textstat_top(here(frame->ret_word), frame->size);
	return 0;
}

static int serve_textstat_clear(void *arg)
{
	(void)arg;
	textstat_clear();
	return 0;
}

#define SERVE(name) serve_##name

static const struct vmrpc_method methods[] = TEXTSTAT_METHODS(SERVE);
static struct vmrpc_binding binding;

const struct vmrpc_service textstat_service = {
	.abi = VMRPC_STUB_ABI,
	.name = "textstat",
	.major = 1,
	.methods = methods,
	.n_methods = TEXTSTAT_N_METHODS,
	.binding = &binding,
};

int main(int argc, char **argv)
{
	if (vmrpc_serve(&textstat_service, argc > 1 ? argv[1] : NULL) == 0)
		return 0;
	fprintf(stderr, "textstat_server: %s\n", vmrpc_error_message());
	return 1;
}
