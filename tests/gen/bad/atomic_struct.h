#include <vmrpc/annotate.h>
struct s { _Atomic int a; };
int f(struct s s);
