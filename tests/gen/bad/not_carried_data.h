#include <vmrpc/annotate.h>
struct s { int a; };
int f(const struct s *s);
