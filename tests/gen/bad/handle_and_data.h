#include <vmrpc/annotate.h>
struct h;
int f(struct h *h VMRPC_HANDLE VMRPC_SIZE(8));
