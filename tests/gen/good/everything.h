/* The whole language, for --explain: most of it is not carried yet. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <vmrpc/annotate.h>

VMRPC_SERVICE(everything, 1, 0);

#define MOST 16
enum kind { KIND_NUMBER, KIND_TEXT = 5 };

struct point {
	double x, y;
};
struct list {
	int value;
	struct list *next;
};
struct text {
	size_t length;
	char *at VMRPC_COUNT(length);
};
struct variant {
	enum kind kind;
	union {
		long number VMRPC_CASE(KIND_NUMBER);
		const char *text VMRPC_CASE(KIND_TEXT) VMRPC_STRING;
		char rest VMRPC_DEFAULT;
	} u VMRPC_SWITCH(kind);
};
struct session;
typedef struct session *session_t VMRPC_HANDLE VMRPC_CLOSE_WITH(session_close);
struct stream {
	const unsigned char *next_in VMRPC_COUNT(avail_in);
	unsigned avail_in;
	void *state VMRPC_SKIP;
} VMRPC_OBJECT;
typedef int visit(void *user VMRPC_USERDATA, const struct point *p);
static inline size_t rows(const struct point *p)
{
	return p->x > 0 ? 2 : 1;
}

/* C itself */
int fixed(const int a[static 4]);
int counted(size_t n, const int a[n]);
int one(const struct point *p);
int opaque(struct session *s);
void stream(FILE *f);
int not_null(const struct point *p) __attribute__((nonnull(1)));
int all_not_null(const struct point *p, const struct point *q) __attribute__((nonnull));
int reads(char *b, int n, int *a) __attribute__((access(write_only, 1, 2), __access__(__read_only__, 3, 2)));
void unmake(struct point *p VMRPC_CONSUMES VMRPC_IN);
struct point *made(void) __attribute__((malloc(unmake, 1)));
/* directions and extents */
int in(const double *a VMRPC_COUNT(n), size_t n);
int out(double *a VMRPC_OUT VMRPC_COUNT(n * 2 + sizeof(int)), size_t n);
int inout(struct point *p VMRPC_INOUT);
int bytes(void *b VMRPC_INOUT VMRPC_SIZE(min(n, MOST)), size_t n);
int strings(const char *s VMRPC_STRING, char *t VMRPC_INOUT VMRPC_STRING_MAX(MOST));
int terminated(const int *a VMRPC_TERMINATED);
int until(const int *a VMRPC_END(end), const int *end VMRPC_INTO(a));
int window(char *b VMRPC_INOUT VMRPC_SIZE(n) VMRPC_RANGE(from, to), size_t n, size_t from, size_t to);
int fill(char *b VMRPC_SIZE_OUT(*n, *n), size_t *n VMRPC_INOUT) VMRPC_SUCCESS(result == 0);
int fill_counted(struct point *b VMRPC_COUNT_OUT(result, n), size_t n) VMRPC_ON_FAIL(-1);
int fill_string(char *b VMRPC_STRING_OUT(n), size_t n);
int helped(struct point *b VMRPC_OUT VMRPC_COUNT(rows(p)), const struct point *p);
/* deeper */
int names(const char *const *v VMRPC_COUNT(n) VMRPC_EACH(VMRPC_STRING), int n);
int follow(struct list *l VMRPC_IN);
int graph(struct list *l VMRPC_INOUT VMRPC_GRAPH);
int text(const struct text *t);
int variant(const struct variant *v);
int part(struct point *p VMRPC_INOUT VMRPC_ONLY(x));
int when(int op, void *arg VMRPC_WHEN(op == 1, VMRPC_IN VMRPC_SIZE(8)) VMRPC_WHEN(op == 2, VMRPC_OUT VMRPC_SIZE(4)));
/* handles */
session_t session_open(const char *path VMRPC_STRING) VMRPC_CLOSE_WITH(session_close);
int session_close(session_t s VMRPC_CLOSES);
int session_find(session_t s, struct session **ret VMRPC_OUT);
int session_numbered(int h VMRPC_HANDLE_NAMED(number));
session_t session_child(session_t parent) VMRPC_LIVES_WITH(parent);
int session_maybe(session_t s VMRPC_CLOSES_IF(flag != 0), int flag);
/* objects and what is kept */
int begin(struct stream *s VMRPC_OPENS);
int work(struct stream *s);
int finish(struct stream *s VMRPC_CLOSES);
int keep(session_t s, void *b VMRPC_RETAINED(s, OUT) VMRPC_SIZE(n) VMRPC_INOUT, size_t n);
int give(char *b VMRPC_IN VMRPC_STRING VMRPC_CONSUMES_WITH(free));
int dispose(void *b VMRPC_IN VMRPC_SIZE(4) VMRPC_DISPOSED_BY(done), void (*done)(void *p VMRPC_USERDATA));
int scratch(void *b VMRPC_SCRATCH(n), size_t n);
/* callbacks */
int each(visit *fn, void *user VMRPC_USERDATA);
int each_of_two(visit *a, visit *b, void *user VMRPC_USERDATA_OF(b)) VMRPC_MAY_LONGJMP;
int sorted(int *a VMRPC_INOUT VMRPC_COUNT(n), size_t n,
	   int (*compare)(const int *a VMRPC_IN, const int *b VMRPC_IN, void *user VMRPC_USERDATA), void *user VMRPC_USERDATA);
/* results */
char *owned(void) VMRPC_STRING VMRPC_CALLER_FREES(free);
const char *borrowed(session_t s) VMRPC_STRING VMRPC_BORROWED;
const struct point *forever(void) VMRPC_STATIC;
char *rest_of(const char *s VMRPC_STRING, int c) VMRPC_INTO(s);
/* sharing, descriptors, formats */
int shared(struct point *p VMRPC_SHARED);
int copied(const struct point *p VMRPC_COPY VMRPC_UNCHECKED("measured"));
int descriptor(int fd VMRPC_FD);
int print(const char *format VMRPC_STRING, ...) VMRPC_VA_FORMAT(1);
/* what has to be asked */
int ask_out(struct point *p);
int ask_string(char *s);
int ask_bytes(const void *p, size_t size);
int ask_many(const int *a);
int ask_wide(const wchar_t *s);
int ask_array(const struct point list[]);
int ask_points(const struct point *points, unsigned flags, int n_points);
int ask_before(int number, const struct point *list);
int not_asked(const void *p VMRPC_SIZE(size), size_t size, const struct point *by);
struct made { struct text text; struct bare { char *name; } bare; };
struct made *make(void) VMRPC_HANDLE;
int ask_object(const struct made *m);
int ask_new(struct made **m, struct session **s);
void ask_use(struct made *m);
struct timeval;
int ask_options(const struct point *options);
int ask_address(const struct sockaddr { short family; char data[14]; } *a, unsigned length);
int ask_time(const struct timeval *t);
int ask_field(struct bare b, int fd);
int ask_list(va_list args);
char *ask_result(void);
int ask_format(const char *format VMRPC_STRING, ...);
extern const int version;
