/* A header nobody may edit. */
typedef void *voidp;
typedef struct engine_s {
	int speed;
	voidp opaque;
	struct {
		int depth;
	} deep;
	int (*start)(voidp who, const char *text);
} engine;
#define engine_open engine_open_2
int engine_open_2(int a, int b);
int engine_speed(engine e);
int engine_stop(int);
