#include <vmrpc/annotate.h>
int f(_Atomic int a);
