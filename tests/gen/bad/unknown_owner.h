#include <vmrpc/annotate.h>
struct h;
int f(struct h *h, int *p VMRPC_IN VMRPC_RETAINED(g));
