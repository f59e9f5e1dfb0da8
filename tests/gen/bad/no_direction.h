#include <vmrpc/annotate.h>
struct point { double x, y; };
int f(struct point *p);
