#include <vmrpc/annotate.h>
struct s { int n; int a[]; };
int f(struct s s);
