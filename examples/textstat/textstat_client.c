/* The client's side of textstat: the functions of textstat.h, which the server runs. */
#include "textstat.h"

#include <errno.h>
#include <string.h>

#include "textstat_rpc.h"

#define NOTHING(name) NULL

static const struct vmrpc_method methods[] = TEXTSTAT_METHODS(NOTHING);
static struct vmrpc_binding binding; /* the connection: vmrpc_connect() fills it in */

const struct vmrpc_service textstat_service = {
	.abi = VMRPC_STUB_ABI,
	.name = "textstat",
	.major = 1,
	.methods = methods,
	.n_methods = TEXTSTAT_N_METHODS,
	.binding = &binding,
};

/* Makes the call. Where it fails the process's failure handler decides; by default it explains and aborts. */
static void call(uint32_t method, void *frame)
{
	int r = vmrpc_stub_call(NULL, &textstat_service, method, frame);

	if (r < 0)
		vmrpc_stub_failed(&textstat_service, method, r);
}

/* A copy of what the server is to see, to be freed with vmrpc_free(). */
static void *lend(uint32_t method, const void *bytes, size_t size)
{
	void *copy = vmrpc_malloc(binding.conn, size);

	if (!copy)
		vmrpc_stub_failed(&textstat_service, method, -errno);
	else if (bytes)
		memcpy(copy, bytes, size);
	return copy;
}

int textstat_add(const char *text)
{
	char *copy = lend(TEXTSTAT_ADD, text, strlen(text) + 1);
	struct textstat_add_frame frame = {copy, -1};

	if (copy)
		call(TEXTSTAT_ADD, &frame);
	vmrpc_free(copy);
	return (int)frame.result;
}

long textstat_total(void)
{
	struct textstat_total_frame frame = {0};

	call(TEXTSTAT_TOTAL, &frame);
	return frame.result;
}

long textstat_count(const char *word)
{
	char *copy = lend(TEXTSTAT_COUNT, word, strlen(word) + 1);
	struct textstat_count_frame frame = {copy, 0};

	if (copy)
		call(TEXTSTAT_COUNT, &frame);
	vmrpc_free(copy);
	return frame.result;
}

long textstat_top(char *ret_word, size_t size)
{
	char *copy = lend(TEXTSTAT_TOP, NULL, size ? size : 1);
	struct textstat_top_frame frame = {copy, size, 0};

	if (copy) {
		call(TEXTSTAT_TOP, &frame);
		memcpy(ret_word, copy, size);
	}
	vmrpc_free(copy);
	return frame.result;
}

void textstat_clear(void)
{
	call(TEXTSTAT_CLEAR, NULL);
}
