/* Scalars of all kinds, by value. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmrpc/annotate.h>

VMRPC_SERVICE(scalars, 1, 4);

#define LATEST 7
enum shade { DARK, BRIGHT = -3, DAZZLING = LATEST };
typedef enum { NORTH, SOUTH } direction;
typedef unsigned long word;

int add(int a, int b);
char letter(char c, signed char s, unsigned char u);
bool both(bool a, bool b);
uint64_t widths(int8_t a, uint16_t b, int32_t c, uint64_t d);
__int128 huge(__int128 a, unsigned __int128 b);
float single(float x);
double real(double x, float y);
long double extended(long double x);
_Complex double complex_product(_Complex double a, _Complex float b, _Complex long double c);
enum shade darker(enum shade s, direction d);
word const_and_volatile(const int a, volatile word b);
void nothing(void);
/* names that generated code uses itself */
int names(int conn, int frame, int r, int result, int ret_result, int error, int arg);
/* without names */
long unnamed(int, short);
