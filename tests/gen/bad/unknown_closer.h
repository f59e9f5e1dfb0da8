#include <vmrpc/annotate.h>
struct h;
struct h *f(void) VMRPC_CLOSE_WITH(close_it);
