#include <vmrpc/annotate.h>
char *f(const char *s VMRPC_STRING) VMRPC_STRING VMRPC_CALLER_FREES(free);
