#include <vmrpc/annotate.h>
struct s { int a VMRPC_CASE(1); };
int f(struct s s);
