#include <vmrpc/annotate.h>
struct s { int a; };
VMRPC_FIELD(struct s, b, VMRPC_SKIP);
int f(struct s s);
