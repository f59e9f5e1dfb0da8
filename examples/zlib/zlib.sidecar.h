/* What zlib.h can't say in C: how much its pointers point to, and which way that goes.
 *
 * zlib.h itself stays as Debian ships it. Carried are the checksums, the functions that work on one buffer, and gz
 * files. Streams (deflate, inflate) are left out: their stubs only fail. */
#include <zlib.h>

#include <vmrpc/annotate.h>

VMRPC_SERVICE(zlib, 1, 3);

/* Checksums. */
ZEXTERN uLong ZEXPORT adler32(uLong adler, const Bytef *buf VMRPC_SIZE(len), uInt len);
ZEXTERN uLong ZEXPORT adler32_z(uLong adler, const Bytef *buf VMRPC_SIZE(len), z_size_t len);
ZEXTERN uLong ZEXPORT crc32(uLong crc, const Bytef *buf VMRPC_SIZE(len), uInt len);
ZEXTERN uLong ZEXPORT crc32_z(uLong crc, const Bytef *buf VMRPC_SIZE(len), z_size_t len);
ZEXTERN const z_crc_t FAR *ZEXPORT get_crc_table(void) VMRPC_COUNT(256) VMRPC_STATIC;

/* One buffer. */
ZEXTERN int ZEXPORT compress(Bytef *dest VMRPC_SIZE_OUT(*destLen, *destLen), uLongf *destLen VMRPC_INOUT,
			     const Bytef *source VMRPC_SIZE(sourceLen), uLong sourceLen) VMRPC_ON_FAIL(Z_STREAM_ERROR);
ZEXTERN int ZEXPORT compress2(Bytef *dest VMRPC_SIZE_OUT(*destLen, *destLen), uLongf *destLen VMRPC_INOUT,
			      const Bytef *source VMRPC_SIZE(sourceLen), uLong sourceLen, int level)
	VMRPC_ON_FAIL(Z_STREAM_ERROR);
ZEXTERN int ZEXPORT uncompress(Bytef *dest VMRPC_SIZE_OUT(*destLen, *destLen), uLongf *destLen VMRPC_INOUT,
			       const Bytef *source VMRPC_SIZE(sourceLen), uLong sourceLen) VMRPC_ON_FAIL(Z_DATA_ERROR);
ZEXTERN int ZEXPORT uncompress2(Bytef *dest VMRPC_SIZE_OUT(*destLen, *destLen), uLongf *destLen VMRPC_INOUT,
				const Bytef *source VMRPC_SIZE(*sourceLen), uLong *sourceLen VMRPC_INOUT)
	VMRPC_ON_FAIL(Z_DATA_ERROR);

/* Words. */
ZEXTERN const char *ZEXPORT zlibVersion(void) VMRPC_STRING VMRPC_STATIC;
ZEXTERN const char *ZEXPORT zError(int error) VMRPC_STRING VMRPC_STATIC;

/* gz files: objects of the server, and files of its file system. The first bytes of one, which the macro gzgetc() looks
 * at, are zeros at the client, so that it calls the function. */
VMRPC_TYPE(gzFile, VMRPC_HANDLE VMRPC_CLOSE_WITH(gzclose));
VMRPC_DEFAULT_FAIL(int, -1);
ZEXTERN gzFile ZEXPORT gzopen(const char *path VMRPC_STRING, const char *mode VMRPC_STRING) VMRPC_ERRNO;
#ifdef Z_LARGE64
ZEXTERN gzFile ZEXPORT gzopen64(const char *path VMRPC_STRING, const char *mode VMRPC_STRING) VMRPC_ERRNO;
#endif
ZEXTERN int ZEXPORT gzread(gzFile file, voidp buf VMRPC_SIZE_OUT(result, len), unsigned len);
ZEXTERN z_size_t ZEXPORT gzfread(voidp buf VMRPC_SIZE_OUT(result *size, size *nitems), z_size_t size, z_size_t nitems,
				 gzFile file) VMRPC_ON_FAIL(0);
ZEXTERN int ZEXPORT gzwrite(gzFile file, voidpc buf VMRPC_SIZE(len), unsigned len) VMRPC_ON_FAIL(0);
ZEXTERN z_size_t ZEXPORT gzfwrite(voidpc buf VMRPC_SIZE(size *nitems), z_size_t size, z_size_t nitems, gzFile file)
	VMRPC_ON_FAIL(0);
ZEXTERN int ZEXPORT gzputs(gzFile file, const char *s VMRPC_STRING);
ZEXTERN char *ZEXPORT gzgets(gzFile file, char *buf VMRPC_STRING_OUT(len), int len) VMRPC_INTO(buf)
	VMRPC_SUCCESS(result != 0);
ZEXTERN const char *ZEXPORT gzerror(gzFile file, int *errnum VMRPC_OUT) VMRPC_STRING VMRPC_BORROWED;
ZEXTERN int ZEXPORT gzclose(gzFile file VMRPC_CLOSES);
ZEXTERN int ZEXPORT gzclose_r(gzFile file VMRPC_CLOSES);
ZEXTERN int ZEXPORT gzclose_w(gzFile file VMRPC_CLOSES);
/* by_hand.c has these: their arguments only the caller can read */
ZEXTERN int ZEXPORTVA gzprintf(gzFile file, const char *format VMRPC_STRING, ...) VMRPC_SKIP;
ZEXTERN int ZEXPORT gzvprintf(gzFile file, const char *format VMRPC_STRING, va_list va VMRPC_SKIP) VMRPC_SKIP;

/* Left out. */
ZEXTERN gzFile ZEXPORT gzdopen(int fd, const char *mode) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflate(z_streamp strm, int flush) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateEnd(z_streamp strm) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflate(z_streamp strm, int flush) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateEnd(z_streamp strm) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateSetDictionary(z_streamp strm, const Bytef *dictionary, uInt dictLength) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateGetDictionary(z_streamp strm, Bytef *dictionary, uInt *dictLength) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateCopy(z_streamp dest, z_streamp source) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateReset(z_streamp strm) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateParams(z_streamp strm, int level, int strategy) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateTune(z_streamp strm, int good_length, int max_lazy, int nice_length,
				int max_chain) VMRPC_SKIP;
ZEXTERN uLong ZEXPORT deflateBound(z_streamp strm, uLong sourceLen) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflatePending(z_streamp strm, unsigned *pending, int *bits) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflatePrime(z_streamp strm, int bits, int value) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateSetHeader(z_streamp strm, gz_headerp head) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateSetDictionary(z_streamp strm, const Bytef *dictionary, uInt dictLength) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateGetDictionary(z_streamp strm, Bytef *dictionary, uInt *dictLength) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateSync(z_streamp strm) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateCopy(z_streamp dest, z_streamp source) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateReset(z_streamp strm) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateReset2(z_streamp strm, int windowBits) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflatePrime(z_streamp strm, int bits, int value) VMRPC_SKIP;
ZEXTERN long ZEXPORT inflateMark(z_streamp strm) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateGetHeader(z_streamp strm, gz_headerp head) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateBack(z_streamp strm, in_func in, void FAR *in_desc, out_func out,
				void FAR *out_desc) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateBackEnd(z_streamp strm) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateInit_(z_streamp strm, int level, const char *version, int stream_size) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateInit_(z_streamp strm, const char *version, int stream_size) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateInit2_(z_streamp strm, int level, int method, int windowBits, int memLevel, int strategy,
				  const char *version, int stream_size) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateInit2_(z_streamp strm, int windowBits, const char *version, int stream_size) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateBackInit_(z_streamp strm, int windowBits, unsigned char FAR *window, const char *version,
				     int stream_size) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateSyncPoint(z_streamp strm) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateUndermine(z_streamp strm, int subvert) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateValidate(z_streamp strm, int check) VMRPC_SKIP;
ZEXTERN unsigned long ZEXPORT inflateCodesUsed(z_streamp strm) VMRPC_SKIP;
ZEXTERN int ZEXPORT inflateResetKeep(z_streamp strm) VMRPC_SKIP;
ZEXTERN int ZEXPORT deflateResetKeep(z_streamp strm) VMRPC_SKIP;
