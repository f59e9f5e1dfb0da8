/* libmeasure.so.3 as it is without vmrpc. */
#include "measure.h"

int measure_area_1(int width, int height);
double measure_half(double a);
double measure_half_1(double a);
int measure_secret(void);
struct size measure_double_2(struct size size);
struct size measure_double_1(struct size size) __attribute__((alias("measure_double_2")));

#define SYMVER(name, symbol) __asm__(".symver " #name ", " symbol)
SYMVER(measure_area_1, "measure_area@MEASURE_1");
SYMVER(measure_half_1, "measure_half@MEASURE_1");
SYMVER(measure_double_1, "measure_double@MEASURE_1"); /* one function in two versions */
SYMVER(measure_double_2, "measure_double@@MEASURE_2");

int measure_unit = 1;

int measure_area(struct size size)
{
	return size.width * size.height;
}

/* what it took, and returned, in version 1 */
int measure_area_1(int width, int height)
{
	return -width * height;
}

double measure_ratio(struct size size)
{
	return (double)size.width / size.height;
}

struct size measure_double_2(struct size size)
{
	return (struct size){2 * size.width, 2 * size.height};
}

double measure_half(double a)
{
	return a / 2;
}

double measure_half_1(double a)
{
	return a / 2 + 1;
}

int measure_secret(void)
{
	return 42;
}

long measure_plain(long a)
{
	return a + 1;
}
