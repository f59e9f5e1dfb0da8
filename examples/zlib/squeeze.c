/* Squeezes a text with zlib and looks whether it comes back whole. Written for plain zlib: it knows of nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SIZE (256u * 1024)

static void fail(const char *what, int error)
{
	fprintf(stderr, "squeeze: %s: %s\n", what, zError(error));
	exit(1);
}

/* Something with patterns in it, the same each time. */
static void fill(unsigned char *text, size_t n)
{
	static const char *const words[] = {"the ", "library ", "lives ", "in ", "another ", "process ", "now.\n"};
	unsigned state = 1;
	size_t used = 0;

	while (used < n) {
		const char *word = words[(state = state * 1103515245 + 12345) >> 16 & 3 ? state >> 20 & 3 : state % 7];

		for (; *word && used < n; word++)
			text[used++] = (unsigned char)*word;
	}
}

static void one_buffer(const unsigned char *text)
{
	uLongf squeezed_size = compressBound(SIZE), back_size = SIZE;
	unsigned char *squeezed = malloc(squeezed_size), *back = malloc(back_size);
	int r;

	if (!squeezed || !back)
		exit(1);
	r = compress2(squeezed, &squeezed_size, text, SIZE, 9);
	if (r != Z_OK)
		fail("compress2", r);
	r = uncompress(back, &back_size, squeezed, squeezed_size);
	if (r != Z_OK)
		fail("uncompress", r);
	printf("%u bytes squeezed into %lu, crc32 %08lx, adler32 %08lx; %s\n", SIZE, squeezed_size,
	       crc32(crc32(0, Z_NULL, 0), squeezed, (uInt)squeezed_size),
	       adler32(adler32(0, Z_NULL, 0), squeezed, (uInt)squeezed_size),
	       back_size == SIZE && memcmp(back, text, SIZE) == 0 ? "came back whole" : "came back DAMAGED");
	back_size = 100;
	r = uncompress(back, &back_size, squeezed, squeezed_size);
	printf("into 100 bytes: %s\n", zError(r));
	squeezed[10] ^= 0x55;
	back_size = SIZE;
	r = uncompress(back, &back_size, squeezed, squeezed_size);
	printf("with a wrong byte: %s\n", zError(r));
	free(squeezed);
	free(back);
}

static void gz_file(const char *path, const unsigned char *text)
{
	char line[80];
	unsigned n = 0, lines = 0;
	gzFile file = gzopen(path, "wb9");

	if (!file || gzwrite(file, text, SIZE) != SIZE || gzprintf(file, "%s %d\n", "the end", 42) <= 0 ||
	    gzclose(file) != Z_OK) {
		perror(path);
		exit(1);
	}
	file = gzopen(path, "rb");
	while (file && gzgets(file, line, sizeof line)) {
		n += (unsigned)strlen(line);
		lines += strchr(line, '\n') != NULL;
	}
	printf("a gz file of %u lines, %u bytes, ends with: %s", lines, n, line);
	gzrewind(file);
	printf("and begins with '%c'\n", gzgetc(file));
	gzclose(file);
}

int main(int argc, char **argv)
{
	unsigned char *text = malloc(SIZE);

	if (!text)
		return 1;
	fill(text, SIZE);
	one_buffer(text);
	if (argc > 1)
		gz_file(argv[1], text);
	free(text);
	return 0;
}
