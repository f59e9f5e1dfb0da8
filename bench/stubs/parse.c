/* Reads a header with libclang, as vmrpcgen does, and nothing else. */
#include <clang-c/Index.h>

static enum CXChildVisitResult look(CXCursor cursor, CXCursor parent, CXClientData data)
{
	(void)parent;
	(void)data;
	clang_disposeString(clang_getCursorSpelling(cursor));
	return CXChildVisit_Recurse;
}

int main(int argc, char **argv)
{
	CXIndex index = clang_createIndex(0, 0);
	CXTranslationUnit unit = NULL;

	if (argc < 2 || clang_parseTranslationUnit2(index, argv[1], (const char *const *)argv + 2, argc - 2, NULL, 0, 0,
						    &unit) != CXError_Success)
		return 1;
	clang_visitChildren(clang_getTranslationUnitCursor(unit), look, NULL);
	return 0;
}
