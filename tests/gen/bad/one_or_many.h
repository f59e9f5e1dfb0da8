#include <vmrpc/annotate.h>
struct point { double x, y; };
int f(const struct point *points, unsigned flags, int n_points);
int g(const struct point list[]);
int h(const long *a);
int i(const struct point *options);
int j(const struct point *p, int radius); /* is one */
