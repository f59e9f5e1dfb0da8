#include <vmrpc/annotate.h>
int f(int (*cb)(int x));
