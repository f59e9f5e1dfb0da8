#include <vmrpc/annotate.h>
int f();
