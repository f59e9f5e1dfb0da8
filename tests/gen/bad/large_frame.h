#include <vmrpc/annotate.h>
struct s { char c[70000]; };
int f(struct s s);
