/* What vmrpcgen looks at in ELF files: the symbols that a shared library exports, and those that objects define. */
#ifndef ELF_FILE_H
#define ELF_FILE_H

#include "text.h"

struct elf_version {
	const char *name;
	const char **parents;
	unsigned n_parents;
};

struct elf_symbol {
	const char *name;
	const struct elf_version *version; /* NULL: none */
	bool is_default;		   /* foo@@V, which linkers take, not foo@V */
	bool is_function;
	uint64_t address;
};

struct elf {
	const char *path;
	const char *soname; /* NULL: none */
	unsigned machine;   /* EM_* */
	struct elf_version **versions;
	unsigned n_versions;
	struct elf_symbol *symbols; /* defined and seen from outside, by name */
	unsigned n_symbols;
};

/* Both end the program with an error where a file is not what it should be. */
void read_library(struct elf *ret_elf, const char *path);
void read_objects(struct elf *ret_elf, const char **paths, unsigned n);
/* The first of that name, or NULL. */
const struct elf_symbol *find_symbol(const struct elf *elf, const char *name);

#endif
