#include <vmrpc/annotate.h>
int f(int (*cb)(void *user, int x), void *user);
