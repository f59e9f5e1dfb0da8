#include <vmrpc/annotate.h>
struct point { int x; };
struct point *f(void);
