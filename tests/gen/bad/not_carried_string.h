#include <vmrpc/annotate.h>
struct h;
const char *f(struct h *h) VMRPC_STRING VMRPC_LIVES_WITH(h);
