#include <vmrpc/annotate.h>
struct s { int tag; union { int a VMRPC_DEFAULT; float b VMRPC_DEFAULT; } u VMRPC_SWITCH(tag); };
int f(struct s s);
