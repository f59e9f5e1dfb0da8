/* A library with a history: libmeasure.so.3 still serves programs that were linked with its first version. */
#ifndef MEASURE_H
#define MEASURE_H

#include <vmrpc/annotate.h>

VMRPC_SERVICE(measure, 3, 0);

struct size {
	int width, height;
};

int measure_area(struct size size);
int measure_area__MEASURE_1(int width, int height); /* carries measure_area@MEASURE_1 */
double measure_ratio(struct size size) VMRPC_ON_FAIL(-1);
struct size measure_double(struct size size);
long measure_plain(long a);

#endif
