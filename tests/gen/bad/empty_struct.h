#include <vmrpc/annotate.h>
struct s { };
int f(struct s s);
