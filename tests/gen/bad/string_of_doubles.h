#include <vmrpc/annotate.h>
int f(const double *p VMRPC_STRING);
