/* Everything a call carries behind a pointer, and handles. */
#include <stdbool.h>
#include <stddef.h>
#include <wchar.h>

#include <vmrpc/annotate.h>

VMRPC_SERVICE(pointers, 1, 0);

struct point {
	double x, y;
};
struct padded {
	char c;
	int i;
};
#define CAP 16

/* directions and extents */
long one(const struct point *p);
void out_one(struct padded *p VMRPC_OUT);
void inout_one(int *p VMRPC_INOUT);
long count(const int *a VMRPC_COUNT(n), size_t n);
long size(const void *a VMRPC_SIZE(n * 2 + CAP), unsigned char n);
#ifdef __cplusplus
long array(const short *a);
#else
long array(const short a[static 4]);
#endif
long matrix(const int m[2][3]);
size_t string(const char *s VMRPC_STRING);
size_t wide(const wchar_t *s VMRPC_STRING VMRPC_NONNULL);
size_t at_most(const char *s VMRPC_STRING_MAX(CAP));
long terminated(const int *a VMRPC_TERMINATED);
long until(const char *from VMRPC_END(to), const char *to VMRPC_INTO(from));
void window(char *a VMRPC_INOUT VMRPC_RANGE(from, to), int from, int to);
void window_to(char *a VMRPC_INOUT VMRPC_RANGE(from, to), char *from VMRPC_INTO(a), char *to VMRPC_INTO(a));
int primes(int *a VMRPC_COUNT_OUT(result, max), int max);
int pack(void *out VMRPC_SIZE_OUT(*n, *n), size_t *n VMRPC_INOUT) VMRPC_SUCCESS(result == 0);
void greet(char *out VMRPC_STRING_OUT(sizeof *p), struct point *p VMRPC_IN);
int scratch(void *work VMRPC_SCRATCH(n), int n);
int in_place(int *p VMRPC_SHARED);
int copied(const int *p VMRPC_COUNT(4) VMRPC_COPY);

/* expressions */
struct span {
	int n;
	struct {
		short wide;
	} inner;
	const char name[8];
};
long fields(const struct span *s, const int *a VMRPC_COUNT(s->n *s->inner.wide));
long by_value(struct point p, struct padded q, const int *a VMRPC_COUNT(q.i));
long chosen(const int *a VMRPC_COUNT(wide ? max(n, 2) : min(n, 3)), int n, bool wide);
long lazily(const int *a VMRPC_COUNT(p && *p > 2 || n < 0), int n, const int *p VMRPC_COUNT(1));
long sums(const int *n VMRPC_COUNT(2), const char *a VMRPC_SIZE(sum(n, 2) - n[1] % 3 + (n[0] << 2 & ~1)));
long lengths(const char *s VMRPC_STRING, const char *a VMRPC_SIZE(strlen(s)), const char *b VMRPC_SIZE(strnlen(s, 4)));
long between(const int *a VMRPC_COUNT(8), const int *b VMRPC_INTO(a), const char *c VMRPC_SIZE(b - a));
long before(const int *a VMRPC_COUNT(8), const char *c VMRPC_SIZE(b - a), const int *b VMRPC_INTO(a));

/* results */
char *join(const char *a VMRPC_STRING) VMRPC_STRING VMRPC_CALLER_FREES(free);
int *range(int n) VMRPC_COUNT(n) VMRPC_CALLER_FREES(range_free);
void range_free(int *range VMRPC_CONSUMES);
struct point *shared(void) VMRPC_CALLER_FREES(vmrpc_free);
const char *name(int n) VMRPC_STRING VMRPC_STATIC;
const char *message(void) VMRPC_STRING VMRPC_BORROWED VMRPC_ERRNO;
char *find(char *s VMRPC_INOUT VMRPC_STRING, int c) VMRPC_INTO(s);

/* handles */
struct file;
typedef void *window_t VMRPC_HANDLE VMRPC_CLOSE_WITH(window_close(self, 0));
struct gauge {
	int value;
};
struct file *file_open(const char *path VMRPC_STRING) VMRPC_CLOSE_WITH(file_close);
int file_open_2(struct file **ret_file VMRPC_OUT) VMRPC_CLOSE_WITH(file_close);
int file_close(struct file *file VMRPC_CLOSES);
bool file_drop(struct file *file VMRPC_CLOSES_IF(result));
struct file *file_parent(struct file *file) VMRPC_BORROWED;
window_t window_open(struct file *file) VMRPC_LIVES_WITH(file);
void window_close(window_t window VMRPC_CLOSES, int how);
int files(struct file *const *files VMRPC_COUNT(n), int n);
struct gauge *gauge_new(void) VMRPC_HANDLE;
int gauge_value(const struct gauge *gauge VMRPC_HANDLE);

/* calls that don't wait */
void note(const char *text VMRPC_STRING) VMRPC_ASYNC;
