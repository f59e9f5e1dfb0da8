/* Words about calls. */
#include <stddef.h>
#include <stdarg.h>
#include <vmrpc/annotate.h>

#define PATIENCE 40
enum { FAILED = -2 };

VMRPC_SERVICE(calls, 2, 0);

typedef int status;
struct answer {
	int code;
};
struct session;
VMRPC_DEFAULT_FAIL(status, FAILED);

int on_fail(int a) VMRPC_ON_FAIL(-1);
struct answer on_fail_struct(void) VMRPC_ON_FAIL((struct answer){FAILED});
void on_fail_void(int a) VMRPC_ON_FAIL();
status by_default(void);
int with_errno(int a) VMRPC_ERRNO VMRPC_ON_FAIL(-1);
void only_errno(void) VMRPC_ERRNO;
int patient(void) VMRPC_TIMEOUT_MS(PATIENCE * 50);
void note(long value) VMRPC_ASYNC;
void settle(void) VMRPC_FLUSH VMRPC_ON_FAIL();
int again(int a) VMRPC_IDEMPOTENT;
int on_stack(int a) VMRPC_SHARED_STACK VMRPC_IDEMPOTENT;
int numbered(void) VMRPC_ID(16);
/* stubs that only fail */
struct session *skipped(const char *name, ...) VMRPC_SKIP;
int skipped_list(const char *format, va_list args) VMRPC_SKIP VMRPC_ON_FAIL(-1);
size_t skipped_buffer(char *buffer, size_t size) VMRPC_SKIP;
void leave(int code) __attribute__((noreturn)) VMRPC_SKIP;
int partly(int a, void *context VMRPC_SKIP, struct answer b VMRPC_SKIP);
/* stays where it is called */
static inline int twice(int a)
{
	return 2 * a;
}
