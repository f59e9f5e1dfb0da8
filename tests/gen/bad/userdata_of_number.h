#include <vmrpc/annotate.h>
int f(void *user VMRPC_USERDATA_OF(n), int n);
