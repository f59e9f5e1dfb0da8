#include <vmrpc/annotate.h>
struct s { int tag; union { int a VMRPC_CASE(1); } u VMRPC_SWITCH(kind); };
int f(struct s s);
