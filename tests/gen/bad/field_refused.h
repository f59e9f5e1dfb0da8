#include <vmrpc/annotate.h>
struct s { int *p; int n; char *text; };
int f(struct s s);
