#include <vmrpc/annotate.h>
struct s { int n; };
int f(int *p VMRPC_OUT VMRPC_COUNT(s->m), const struct s *s);
