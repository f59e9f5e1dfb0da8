#include <vmrpc/annotate.h>
struct timeval;
struct other;
int f(const struct timeval *t);
int g(const struct other *o VMRPC_SKIP);
