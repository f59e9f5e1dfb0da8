#include <vmrpc/annotate.h>
struct s { int tag; struct { int a; } u VMRPC_SWITCH(tag); };
int f(struct s s);
