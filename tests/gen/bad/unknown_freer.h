#include <vmrpc/annotate.h>
char *f(void) VMRPC_STRING VMRPC_CALLER_FREES(fre);
