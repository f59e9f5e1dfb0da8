/* Reads ELF files: 64 bits, little-endian, as all that the runtime supports. Nothing that stands in a file is believed
 * before it was found to lie inside of it. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf_file.h"
#include "stages.h"

struct input {
	struct elf *elf;
	const char *bytes;
	size_t size;
	Elf64_Ehdr header;
	Elf64_Shdr *sections;
};

static _Noreturn void give_up(const char *path, const char *write, const char *message)
{
	error((struct location){.file = path}, write, "%s", message);
	exit(report(stderr) ? 1 : 0);
}

/* A part of the file. */
static const char *part(const struct input *in, uint64_t offset, uint64_t size)
{
	if (offset > in->size || size > in->size - offset)
		give_up(in->elf->path, NULL, "the file is damaged: what it speaks of lies behind its end");
	return in->bytes + offset;
}

static void copy_part(const struct input *in, void *to, uint64_t offset, uint64_t size)
{
	memcpy(to, part(in, offset, size), size);
}

static const char *string_at(const struct input *in, const Elf64_Shdr *table, uint64_t offset)
{
	const char *begin;

	if (offset >= table->sh_size)
		give_up(in->elf->path, NULL, "the file is damaged: a name lies outside of its table");
	begin = part(in, table->sh_offset, table->sh_size) + offset;
	if (!memchr(begin, 0, table->sh_size - offset))
		give_up(in->elf->path, NULL, "the file is damaged: a name has no end");
	return begin;
}

static const Elf64_Shdr *section(const struct input *in, uint64_t index)
{
	if (index >= in->header.e_shnum)
		give_up(in->elf->path, NULL, "the file is damaged: it has no section of such a number");
	return &in->sections[index];
}

static const Elf64_Shdr *section_of_type(const struct input *in, uint32_t type)
{
	for (unsigned i = 0; i < in->header.e_shnum; i++)
		if (in->sections[i].sh_type == type)
			return &in->sections[i];
	return NULL;
}

static void open_file(struct input *in, struct elf *elf, const char *path)
{
	*elf = (struct elf){.path = path};
	*in = (struct input){.elf = elf};
	in->bytes = read_bytes(path, &in->size);
	if (!in->bytes)
		give_up(path, NULL, strerror(errno));
	if (in->size >= 8 && memcmp(in->bytes, "!<arch>\n", 8) == 0)
		give_up(path, "the shared library that programs are linked with", "this is a static library");
	if (in->size < EI_NIDENT || memcmp(in->bytes, ELFMAG, SELFMAG) != 0) {
		if (strstr(in->bytes, "INPUT") || strstr(in->bytes, "GROUP"))
			give_up(path, "the shared library that it names", "this is a script for linkers");
		give_up(path, NULL, "this is no ELF file");
	}
	if (in->bytes[EI_CLASS] != ELFCLASS64 || in->bytes[EI_DATA] != ELFDATA2LSB)
		give_up(path, NULL, "only 64-bit, little-endian files are understood");
	copy_part(in, &in->header, 0, sizeof in->header);
	elf->machine = in->header.e_machine;
	if (!in->header.e_shnum || in->header.e_shentsize != sizeof *in->sections)
		give_up(path, NULL, "it has no section headers, which say where its symbols are");
	in->sections = allocate(in->header.e_shnum * sizeof *in->sections);
	copy_part(in, in->sections, in->header.e_shoff, in->header.e_shnum * sizeof *in->sections);
}

static void read_soname(const struct input *in)
{
	const Elf64_Shdr *dynamic = section_of_type(in, SHT_DYNAMIC);

	for (uint64_t at = 0; dynamic && at + sizeof(Elf64_Dyn) <= dynamic->sh_size; at += sizeof(Elf64_Dyn)) {
		Elf64_Dyn entry;

		copy_part(in, &entry, dynamic->sh_offset + at, sizeof entry);
		if (entry.d_tag == DT_NULL)
			return;
		if (entry.d_tag == DT_SONAME)
			in->elf->soname = string_at(in, section(in, dynamic->sh_link), entry.d_un.d_val);
	}
}

/* The versions by their index, in the order of the file; NULL for those that it does not define. */
static struct elf_version **read_versions(const struct input *in)
{
	struct elf_version **by_index = allocate(0x8000 * sizeof *by_index);
	const Elf64_Shdr *table = section_of_type(in, SHT_GNU_verdef), *names;
	uint64_t at = 0;

	if (!table)
		return by_index;
	names = section(in, table->sh_link);
	for (unsigned i = 0; i < table->sh_info; i++) {
		struct elf_version *version = allocate(sizeof *version);
		Elf64_Verdef definition;
		Elf64_Verdaux name;
		uint64_t name_at;

		copy_part(in, &definition, table->sh_offset + at, sizeof definition);
		name_at = at + definition.vd_aux;
		for (unsigned j = 0; j < definition.vd_cnt; j++, name_at += name.vda_next) {
			copy_part(in, &name, table->sh_offset + name_at, sizeof name);
			if (j == 0)
				version->name = string_at(in, names, name.vda_name);
			else
				APPEND(version->parents, version->n_parents, string_at(in, names, name.vda_name));
		}
		if (!(definition.vd_flags & VER_FLG_BASE) && version->name) {
			by_index[definition.vd_ndx & 0x7fff] = version;
			APPEND(in->elf->versions, in->elf->n_versions, version);
		}
		at += definition.vd_next;
		if (!definition.vd_next)
			break;
	}
	return by_index;
}

/* Code has a type; what assemblers left without one is code where it can run. */
static bool is_code(const struct input *in, const Elf64_Sym *symbol)
{
	unsigned type = ELF64_ST_TYPE(symbol->st_info);

	if (type == STT_NOTYPE && symbol->st_shndx < in->header.e_shnum)
		return in->sections[symbol->st_shndx].sh_flags & SHF_EXECINSTR;
	return type == STT_FUNC || type == STT_GNU_IFUNC;
}

/* What linkers and start files put into every library. */
static bool is_of_the_linker(const char *name)
{
	static const char *const names[] = {"_init",
					    "_fini",
					    "_end",
					    "_edata",
					    "_etext",
					    "__bss_start",
					    "__bss_start__",
					    "_bss_end__",
					    "__bss_end__",
					    "__end__",
					    "__data_start",
					    "_DYNAMIC",
					    "_GLOBAL_OFFSET_TABLE_"};

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int by_name(const void *left, const void *right)
{
	const struct elf_symbol *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	if (order)
		return order;
	if (a->is_default != b->is_default)
		return a->is_default ? -1 : 1;
	return strcmp(a->version ? a->version->name : "", b->version ? b->version->name : "");
}

static void read_symbols(const struct input *in, const Elf64_Shdr *table, struct elf_version **versions)
{
	const Elf64_Shdr *names = section(in, table->sh_link);
	const Elf64_Shdr *indices = versions ? section_of_type(in, SHT_GNU_versym) : NULL;
	struct elf *elf = in->elf;

	for (uint64_t i = 1; (i + 1) * sizeof(Elf64_Sym) <= table->sh_size; i++) {
		struct elf_symbol new = {.is_default = true};
		uint16_t index = VER_NDX_GLOBAL;
		Elf64_Sym symbol;

		copy_part(in, &symbol, table->sh_offset + i * sizeof symbol, sizeof symbol);
		if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL ||
		    ELF64_ST_TYPE(symbol.st_info) == STT_SECTION || ELF64_ST_TYPE(symbol.st_info) == STT_FILE ||
		    ELF64_ST_VISIBILITY(symbol.st_other) == STV_HIDDEN ||
		    ELF64_ST_VISIBILITY(symbol.st_other) == STV_INTERNAL)
			continue;
		new.name = string_at(in, names, symbol.st_name);
		if (is_of_the_linker(new.name))
			continue;
		if (indices)
			copy_part(in, &index, indices->sh_offset + i * sizeof index, sizeof index);
		if ((index & 0x7fff) == VER_NDX_LOCAL)
			continue;
		if (versions)
			new.version = versions[index & 0x7fff];
		/* each version is a symbol as well, of its own name */
		if (new.version && symbol.st_shndx == SHN_ABS &&strcmp(new.name, new.version->name) == 0)
			continue;
		new.is_default = !new.version || !(index & 0x8000);
		new.is_function = is_code(in, &symbol);
		new.address = symbol.st_value;
		APPEND(elf->symbols, elf->n_symbols, new);
	}
	if (elf->n_symbols)
		qsort(elf->symbols, elf->n_symbols, sizeof *elf->symbols, by_name);
}

void read_library(struct elf *ret_elf, const char *path)
{
	const Elf64_Shdr *symbols;
	struct input in;

	open_file(&in, ret_elf, path);
	if (in.header.e_type != ET_DYN)
		give_up(path, NULL, "this is no shared library");
	symbols = section_of_type(&in, SHT_DYNSYM);
	if (!symbols)
		give_up(path, NULL, "this library exports nothing");
	read_soname(&in);
	if (!ret_elf->soname)
		give_up(path, "-Wl,-soname,NAME when it is linked",
			"it has no SONAME: programs look for it by its path, where nothing can be put before it");
	read_symbols(&in, symbols, read_versions(&in));
}

void read_objects(struct elf *ret_elf, const char **paths, unsigned n)
{
	*ret_elf = (struct elf){0};
	for (unsigned i = 0; i < n; i++) {
		const Elf64_Shdr *symbols;
		struct input in;
		struct elf elf;

		open_file(&in, &elf, paths[i]);
		if (in.header.e_type != ET_REL)
			give_up(paths[i], NULL, "this is no object file");
		if (ret_elf->machine && ret_elf->machine != elf.machine)
			give_up(paths[i], NULL, "it is for another processor than the objects before it");
		symbols = section_of_type(&in, SHT_SYMTAB);
		if (symbols)
			read_symbols(&in, symbols, NULL);
		ret_elf->machine = elf.machine;
		for (unsigned j = 0; j < elf.n_symbols; j++)
			APPEND(ret_elf->symbols, ret_elf->n_symbols, elf.symbols[j]);
	}
	if (ret_elf->n_symbols)
		qsort(ret_elf->symbols, ret_elf->n_symbols, sizeof *ret_elf->symbols, by_name);
}

const struct elf_symbol *find_symbol(const struct elf *elf, const char *name)
{
	unsigned low = 0, high = elf->n_symbols;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (strcmp(elf->symbols[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < elf->n_symbols && strcmp(elf->symbols[low].name, name) == 0 ? &elf->symbols[low] : NULL;
}
