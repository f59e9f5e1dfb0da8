#include <vmrpc/annotate.h>
static inline int twice(int n) { return 2 * n; }
int f(const char *s VMRPC_SIZE(twice(n)), int n);
