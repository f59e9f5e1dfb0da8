#include <vmrpc/annotate.h>
struct s { int a; };
int f(struct s *s VMRPC_INOUT VMRPC_ONLY(b));
