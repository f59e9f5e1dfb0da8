/* Headers into the model, by libclang. No other file knows that it is libclang: what it tells is copied into plain
 * structs, and what it hides (nonnull, access) is kept as the text of the declaration. */
#include <clang-c/Index.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stages.h"

#define INPUT "vmrpcgen-input.c" /* includes all headers; exists only in memory */

struct entry { /* a function, whatever file declares it */
	const char *name;
	CXCursor *cursors;
	unsigned n_cursors;
	bool is_ours;
	struct entry *next;
};

#define N_BUCKETS 4096
static struct service *service;
static CXTranslationUnit unit;
static struct entry *entries[N_BUCKETS], **in_order;
static unsigned n_in_order;
static struct alias_entry {
	struct alias *alias;
	struct alias_entry *next;
} * alias_buckets[N_BUCKETS];
static struct record_entry {
	CXCursor cursor;
	struct record *record;
	struct record_entry *next;
} * record_buckets[N_BUCKETS];
static char *folder; /* where we are, with a slash */

static struct type *type_of(CXType type);
static struct value *value_of(CXCursor cursor);

static unsigned hash(const char *name)
{
	unsigned hash = 5381;

	for (; *name; name++)
		hash = hash * 33 ^ (unsigned char)*name;
	return hash % N_BUCKETS;
}

static const char *take(CXString string)
{
	const char *text = clang_getCString(string);
	char *copy = text ? copy_of(text, strlen(text)) : "";

	clang_disposeString(string);
	return copy;
}

/* The header that a file is. A link has the name, for some libclangs, by which its file was included last. */
static const struct header *header_of_file(CXFile file, const char *name)
{
	for (unsigned i = 0; i < service->n_headers; i++)
		if (strcmp(service->headers[i].real, name) == 0 ||
		    clang_File_isEqual(file, clang_getFile(unit, service->headers[i].real)))
			return &service->headers[i];
	return NULL;
}

/* A file as the user knows it: as it was given, or relative to where he is. */
static const char *shown(CXFile file)
{
	static CXFile last;
	static const char *last_shown;
	const struct header *header;
	const char *name;

	if (!file)
		return NULL;
	if (file == last)
		return last_shown;
	name = take(clang_getFileName(file));
	header = header_of_file(file, name);
	last = file;
	last_shown = header ? header->path : starts_with(name, folder) ? name + strlen(folder) : name;
	return last_shown;
}

static struct location where(CXSourceLocation source)
{
	struct location at = {0};
	CXFile file;

	clang_getExpansionLocation(source, &file, &at.line, &at.column, NULL);
	at.file = shown(file);
	return at;
}

static struct location place_of(CXCursor cursor)
{
	return where(clang_getCursorLocation(cursor));
}

static bool is_ours(CXCursor cursor)
{
	struct location at = place_of(cursor);

	for (unsigned i = 0; at.file && i < service->n_headers; i++)
		if (strcmp(service->headers[i].path, at.file) == 0)
			return true;
	return false;
}

/* Annotations and parameters below a declaration. */
struct children {
	struct note *notes;
	struct value **params;
	unsigned n_params;
	bool annotated_params;
};

static enum CXChildVisitResult visit_child(CXCursor cursor, CXCursor parent, CXClientData data)
{
	struct children *children = data;

	(void)parent;
	if (clang_getCursorKind(cursor) == CXCursor_AnnotateAttr) {
		const char *string = take(clang_getCursorSpelling(cursor));

		if (starts_with(string, "vmrpc:")) {
			struct note *note = read_note(string + strlen("vmrpc:"), place_of(cursor));

			if (note)
				add_notes(&children->notes, note);
		}
	} else if (clang_getCursorKind(cursor) == CXCursor_ParmDecl) {
		struct value *param = value_of(cursor);

		children->annotated_params |= param->notes != NULL;
		APPEND(children->params, children->n_params, param);
	}
	return CXChildVisit_Continue;
}

static struct children children_of(CXCursor cursor)
{
	struct children children = {0};

	clang_visitChildren(cursor, visit_child, &children);
	return children;
}

static struct value *new_value(const char *name, struct type *type, struct location at)
{
	struct value *value = allocate(sizeof *value);

	*value = (struct value){.name = name, .type = type, .at = at, .bits = -1};
	return value;
}

static struct signature *signature_of(CXType type)
{
	struct signature *signature = allocate(sizeof *signature);
	int n = clang_getNumArgTypes(type);

	signature->result = new_value("", type_of(clang_getResultType(type)), (struct location){0});
	signature->has_prototype = type.kind == CXType_FunctionProto;
	signature->is_variadic = signature->has_prototype && clang_isFunctionTypeVariadic(type);
	for (int i = 0; i < n; i++)
		APPEND(signature->params, signature->n_params,
		       new_value("", type_of(clang_getArgType(type, (unsigned)i)), (struct location){0}));
	return signature;
}

static struct signature *pointed_signature(struct type *type)
{
	type = bare_type(type);
	if (type->kind == TYPE_POINTER)
		type = bare_type(type->target);
	return type->kind == TYPE_FUNCTION ? type->signature : NULL;
}

static void take_children(struct value *value, struct children *children)
{
	struct signature *signature = children->n_params ? pointed_signature(value->type) : NULL;

	value->notes = children->notes;
	if (signature && children->n_params == signature->n_params) {
		value->signature = allocate(sizeof *signature);
		*value->signature = *signature;
		value->signature->params = children->params;
	}
}

static struct value *value_of(CXCursor cursor)
{
	struct value *value = new_value(take(clang_getCursorSpelling(cursor)), type_of(clang_getCursorType(cursor)),
					place_of(cursor));
	struct children children = children_of(cursor);

	if (strchr(value->name, '(')) /* newer versions name what has no name */
		value->name = "";
	take_children(value, &children);
	return value;
}

static enum CXVisitorResult visit_field(CXCursor cursor, CXClientData data)
{
	struct record *record = data;
	struct value *field = value_of(cursor);
	long long offset = clang_Cursor_getOffsetOfField(cursor);

	field->offset = offset < 0 ? 0 : (uint64_t)offset;
	if (clang_Cursor_isBitField(cursor))
		field->bits = clang_getFieldDeclBitWidth(cursor);
	APPEND(record->fields, record->n_fields, field);
	return CXVisit_Continue;
}

static struct record *record_of(CXType type)
{
	CXCursor cursor = clang_getCanonicalCursor(clang_getTypeDeclaration(type)), definition;
	unsigned bucket = clang_hashCursor(cursor) % N_BUCKETS;
	struct record_entry *entry;
	struct record *record;
	const char *name;
	long long size;

	for (entry = record_buckets[bucket]; entry; entry = entry->next)
		if (clang_equalCursors(entry->cursor, cursor))
			return entry->record;
	record = allocate(sizeof *record);
	entry = allocate(sizeof *entry);
	*entry = (struct record_entry){cursor, record, record_buckets[bucket]};
	record_buckets[bucket] = entry;
	APPEND(service->records, service->n_records, record);

	name = take(clang_getTypeSpelling(clang_getCanonicalType(clang_getCursorType(cursor))));
	record->name = strchr(name, '(') ? NULL : name;
	record->is_union = clang_getCursorKind(cursor) == CXCursor_UnionDecl;
	definition = clang_getCursorDefinition(cursor);
	record->at = place_of(clang_Cursor_isNull(definition) ? cursor : definition);
	size = clang_Type_getSizeOf(type);
	if (size < 0)
		return record;
	record->is_complete = true;
	record->size = (uint64_t)size;
	record->align = (uint64_t)clang_Type_getAlignOf(type);
	clang_Type_visitFields(type, visit_field, record);
	return record;
}

static struct alias *alias_named(const char *name)
{
	unsigned bucket = hash(name);
	struct alias_entry *entry;

	for (entry = alias_buckets[bucket]; entry; entry = entry->next)
		if (strcmp(entry->alias->value.name, name) == 0)
			return entry->alias;
	return NULL;
}

static struct alias *alias_of(CXCursor cursor)
{
	const char *name = take(clang_getCursorSpelling(cursor));
	struct alias *alias = alias_named(name);
	struct alias_entry *entry;
	struct children children;

	if (alias)
		return alias;
	alias = allocate(sizeof *alias);
	entry = allocate(sizeof *entry);
	alias->value = (struct value){.name = name, .at = place_of(cursor), .bits = -1};
	*entry = (struct alias_entry){alias, alias_buckets[hash(name)]};
	alias_buckets[hash(name)] = entry;
	APPEND(service->aliases, service->n_aliases, alias);
	alias->value.type = type_of(clang_getTypedefDeclUnderlyingType(cursor));
	for (unsigned i = 0; i < alias->n_waiting; i++)
		alias->waiting[i]->target = alias->value.type;
	children = children_of(cursor);
	take_children(&alias->value, &children);
	alias->value.notes = NULL; /* visit_top() sees every redeclaration, this one included */
	return alias;
}

static enum CXChildVisitResult visit_constant(CXCursor cursor, CXCursor parent, CXClientData data)
{
	struct enumeration *enumeration = data;
	unsigned n = enumeration->n;

	(void)parent;
	if (clang_getCursorKind(cursor) == CXCursor_EnumConstantDecl) {
		APPEND(enumeration->constants, enumeration->n, take(clang_getCursorSpelling(cursor)));
		APPEND(enumeration->values, n, clang_getEnumConstantDeclValue(cursor));
	}
	return CXChildVisit_Continue;
}

static struct enumeration *enumeration_of(CXType type)
{
	struct enumeration *enumeration = allocate(sizeof *enumeration);
	CXCursor cursor = clang_getTypeDeclaration(type);

	enumeration->underlying = type_of(clang_getEnumDeclIntegerType(cursor));
	clang_visitChildren(cursor, visit_constant, enumeration);
	return enumeration;
}

static bool on_x86(void)
{
	static int answer = -1;

	if (answer < 0) {
		CXTargetInfo target = clang_getTranslationUnitTargetInfo(unit);
		const char *triple = take(clang_TargetInfo_getTriple(target));

		clang_TargetInfo_dispose(target);
		answer = starts_with(triple, "x86_64") || starts_with(triple, "i");
	}
	return answer;
}

static void kind_of_builtin(struct type *new, enum CXTypeKind kind)
{
	switch (kind) {
	case CXType_Bool:
		new->kind = TYPE_BOOL;
		break;
	case CXType_Char_S:
	case CXType_SChar:
	case CXType_WChar:
	case CXType_Short:
	case CXType_Int:
	case CXType_Long:
	case CXType_LongLong:
	case CXType_Int128:
		new->kind = TYPE_INT;
		new->is_signed = true;
		break;
	case CXType_Char_U:
	case CXType_UChar:
	case CXType_Char16:
	case CXType_Char32:
	case CXType_UShort:
	case CXType_UInt:
	case CXType_ULong:
	case CXType_ULongLong:
	case CXType_UInt128:
		new->kind = TYPE_INT;
		break;
	case CXType_Half:
	case CXType_Float16:
	case CXType_Float:
	case CXType_Double:
	case CXType_Float128:
		new->kind = TYPE_FLOAT;
		break;
	case CXType_LongDouble: /* on x86 it has 80 bits in 16 bytes */
		new->kind = TYPE_FLOAT;
		new->filled = on_x86() ? 10 : 0;
		break;
	case CXType_Vector:
	case CXType_ExtVector:
		new->kind = TYPE_VECTOR;
		break;
	default:
		new->kind = TYPE_OTHER;
	}
}

static struct type *alias_type(struct type *new, CXType type)
{
	new->kind = TYPE_TYPEDEF;
	if (strcmp(new->name, "__builtin_va_list") == 0 || strcmp(new->name, "va_list") == 0 ||
	    strcmp(new->name, "__gnuc_va_list") == 0) {
		new->kind = TYPE_VA_LIST;
		return new;
	}
	new->alias = alias_of(clang_getTypeDeclaration(type));
	new->target = new->alias->value.type;
	if (!new->target) /* a type that leads back to itself: alias_of() is at it */
		APPEND(new->alias->waiting, new->alias->n_waiting, new);
	return new;
}

/* Types that only add something to another one, libclang's own, are looked through. */
static struct type *type_of(CXType type)
{
	struct type *new = allocate(sizeof *new);
	long long size = clang_Type_getSizeOf(type), align = clang_Type_getAlignOf(type);
	CXType plain = type;
	const char *bracket;

	if (type.kind == CXType_Elaborated)
		plain = clang_Type_getNamedType(type);
	else if (type.kind == CXType_Attributed)
		plain = clang_Type_getModifiedType(type);
	else if (type.kind == CXType_Unexposed)
		plain = clang_getCanonicalType(type);
	if (plain.kind != type.kind && plain.kind != CXType_Invalid) {
		struct type *inner = type_of(plain);

		inner->is_const |= clang_isConstQualifiedType(type);
		inner->is_volatile |= clang_isVolatileQualifiedType(type);
		return inner;
	}
	new->is_const = clang_isConstQualifiedType(type);
	new->is_volatile = clang_isVolatileQualifiedType(type);
	new->is_restrict = clang_isRestrictQualifiedType(type);
	new->size = size < 0 ? 0 : (uint64_t)size;
	new->align = align < 0 ? 1 : (uint64_t)align;
	new->name = take(clang_getTypeSpelling(type));
	while (true) { /* qualifiers are kept apart */
		if (starts_with(new->name, "const "))
			new->name += strlen("const ");
		else if (starts_with(new->name, "volatile "))
			new->name += strlen("volatile ");
		else if (starts_with(new->name, "restrict "))
			new->name += strlen("restrict ");
		else
			break;
	}
	switch (type.kind) {
	case CXType_Void:
		new->kind = TYPE_VOID;
		break;
	case CXType_Pointer:
		new->kind = TYPE_POINTER;
		new->target = type_of(clang_getPointeeType(type));
		break;
	case CXType_ConstantArray:
		new->kind = TYPE_ARRAY;
		new->count = (uint64_t)clang_getArraySize(type);
		new->target = type_of(clang_getArrayElementType(type));
		new->is_static = strstr(new->name, "[static") != NULL;
		break;
	case CXType_IncompleteArray:
	case CXType_VariableArray:
		new->kind = TYPE_OPEN_ARRAY;
		new->target = type_of(clang_getArrayElementType(type));
		bracket = strchr(new->name, '[');
		if (bracket && type.kind == CXType_VariableArray) {
			new->is_static = starts_with(bracket, "[static ");
			bracket += new->is_static ? strlen("[static ") : 1;
			new->length = copy_of(bracket, strcspn(bracket, "]"));
		}
		break;
	case CXType_Record:
		new->kind = TYPE_RECORD;
		new->record = record_of(type);
		new->name = new->record->name;
		break;
	case CXType_Enum:
		new->kind = TYPE_ENUM;
		new->enumeration = enumeration_of(type);
		new->is_signed = new->enumeration->underlying->is_signed;
		break;
	case CXType_Typedef:
		return alias_type(new, type);
	case CXType_FunctionProto:
	case CXType_FunctionNoProto:
		new->kind = TYPE_FUNCTION;
		new->signature = signature_of(type);
		break;
	case CXType_Atomic:
		new->kind = TYPE_ATOMIC;
		new->target = type_of(clang_Type_getValueType(type));
		break;
	case CXType_Complex:
		new->target = type_of(clang_getElementType(type));
		new->kind = TYPE_COMPLEX;
		break;
	default:
		kind_of_builtin(new, type.kind);
	}
	if (type.kind == CXType_Bool || same(new->name, "_Bool"))
		new->name = "bool";
	return new;
}

static struct entry *entry_named(const char *name)
{
	struct entry **at = &entries[hash(name)];

	for (; *at; at = &(*at)->next)
		if (strcmp((*at)->name, name) == 0)
			return *at;
	*at = allocate(sizeof **at);
	(*at)->name = name;
	APPEND(in_order, n_in_order, *at);
	return *at;
}

bool function_is_declared(const char *name)
{
	for (const struct entry *entry = entries[hash(name)]; entry; entry = entry->next)
		if (strcmp(entry->name, name) == 0)
			return true;
	return false;
}

/* A word about something declared elsewhere is an otherwise unused typedef. */
static void take_directive(CXCursor cursor)
{
	struct children children = children_of(cursor);

	if (!children.notes)
		return;
	children.notes->at = place_of(cursor);
	children.notes->type = type_of(clang_getTypedefDeclUnderlyingType(cursor));
	add_notes(&service->directives, children.notes);
}

static void take_typedef(CXCursor cursor)
{
	struct children children = children_of(cursor);
	struct alias *alias;

	if (!children.notes && !children.annotated_params)
		return;
	alias = alias_of(cursor);
	add_notes(&alias->value.notes, children.notes);
	if (children.annotated_params) {
		struct value annotated = alias->value;

		take_children(&annotated, &children);
		alias->value.signature = annotated.signature;
	}
}

static enum CXChildVisitResult visit_top(CXCursor cursor, CXCursor parent, CXClientData data)
{
	const bool in_system = clang_Location_isInSystemHeader(clang_getCursorLocation(cursor));
	struct children children;

	(void)parent;
	(void)data;
	switch (clang_getCursorKind(cursor)) {
	case CXCursor_FunctionDecl: {
		struct entry *entry = entry_named(take(clang_getCursorSpelling(cursor)));

		entry->is_ours |= is_ours(cursor);
		APPEND(entry->cursors, entry->n_cursors, cursor);
		break;
	}
	case CXCursor_TypedefDecl:
		if (starts_with(take(clang_getCursorSpelling(cursor)), "vmrpc__"))
			take_directive(cursor);
		else if (!in_system)
			take_typedef(cursor);
		break;
	case CXCursor_StructDecl:
	case CXCursor_UnionDecl:
		if (in_system)
			break;
		children = children_of(cursor);
		if (children.notes)
			add_notes(&record_of(clang_getCursorType(cursor))->notes, children.notes);
		break;
	case CXCursor_EnumDecl:
		if (!in_system) {
			struct enumeration enumeration = {0};

			clang_visitChildren(cursor, visit_constant, &enumeration);
			for (unsigned i = 0; i < enumeration.n; i++)
				set_constant(enumeration.constants[i], enumeration.values[i]);
		}
		break;
	case CXCursor_VarDecl:
		if (is_ours(cursor))
			APPEND(service->objects, service->n_objects, value_of(cursor));
		break;
	default:
		break;
	}
	return CXChildVisit_Continue;
}

/* The declaration as it stands in its file, up to its semicolon. */
static const char *source_of(CXCursor cursor)
{
	CXSourceRange range = clang_getCursorExtent(cursor);
	unsigned begin, end;
	CXFile file;
	const char *text;
	size_t size;

	clang_getExpansionLocation(clang_getRangeStart(range), &file, NULL, NULL, &begin);
	clang_getExpansionLocation(clang_getRangeEnd(range), NULL, NULL, NULL, &end);
	text = file ? clang_getFileContents(unit, file, &size) : NULL;
	if (!text || begin > end || end > size)
		return "";
	while (end < size && text[end] != ';' && text[end] != '{')
		end++;
	return copy_of(text + begin, end - begin);
}

/* Of two names for one parameter the one counts that its annotations use. */
static void merge_params(struct signature *into, struct value *const *params, bool annotated)
{
	for (unsigned i = 0; i < into->n_params; i++)
		annotated |= params[i]->notes != NULL;
	for (unsigned i = 0; i < into->n_params; i++) {
		struct value *param = into->params[i];

		add_notes(&param->notes, params[i]->notes);
		if (*params[i]->name && strcmp(param->name, params[i]->name) != 0) {
			const bool wins = annotated || !*param->name;

			param->other_name = wins ? param->name : params[i]->name;
			param->name = wins ? params[i]->name : param->name;
		}
		if (params[i]->signature)
			param->signature = params[i]->signature;
		if (params[i]->notes)
			param->at = params[i]->at;
		if (bare_type(param->type)->kind == TYPE_POINTER && bare_type(params[i]->type)->kind != TYPE_POINTER)
			param->type = params[i]->type; /* T a[n] says more than T *a */
	}
}

static void take_function(struct entry *entry)
{
	struct function *function = allocate(sizeof *function);
	struct text source = {0};
	bool is_local = false;

	function->name = entry->name;
	function->id = -1;
	for (unsigned i = 0; i < entry->n_cursors; i++) {
		CXCursor cursor = entry->cursors[i];
		CXType type = clang_getCursorType(cursor);
		struct children children = {0};
		unsigned n = type.kind == CXType_FunctionProto ? (unsigned)clang_Cursor_getNumArguments(cursor) : 0;
		struct value **params = allocate((n + 1) * sizeof *params);

		if (type.kind != CXType_FunctionProto && type.kind != CXType_FunctionNoProto)
			type = clang_getCanonicalType(type);
		is_local |=
			clang_Cursor_getStorageClass(cursor) == CX_SC_Static || clang_Cursor_isFunctionInlined(cursor);
		children = children_of(cursor);
		add_notes(&function->notes, children.notes);
		if (children.n_params == n)
			params = children.params;
		else /* a function that returns a pointer to a function */
			for (unsigned j = 0; j < n; j++)
				params[j] = value_of(clang_Cursor_getArgument(cursor, j));
		add(&source, "%s\n", source_of(cursor));
		if (!function->signature ||
		    (!function->signature->has_prototype && type.kind == CXType_FunctionProto)) {
			function->signature = signature_of(type);
			if (n == function->signature->n_params)
				function->signature->params = params;
			function->at = place_of(cursor);
			function->signature->result->at = function->at;
		} else if (n == function->signature->n_params) {
			merge_params(function->signature, params, children.notes != NULL);
		}
	}
	function->source = source.string;
	function->is_noreturn = strstr(function->source, "noreturn") || strstr(function->source, "_Noreturn");
	for (unsigned i = 0; i < function->signature->n_params; i++) {
		struct value *param = function->signature->params[i];

		if (!*param->name)
			param->name = format("argument_%u", i + 1);
		if (!param->at.line)
			param->at = function->at;
	}
	function->signature->result->name = "result";
	function->prototype =
		declaration(&(struct type){.kind = TYPE_FUNCTION, .signature = function->signature}, function->name);
	if (is_local)
		APPEND(service->locals, service->n_locals, function);
	else
		APPEND(service->functions, service->n_functions, function);
}

/* Mistakes in C are clang's to find. So are words that do not exist, or can't be written in C as they should: those
 * are explained here. */
static const char *explain_word(struct location at, const char **write)
{
	static const char *const pairs[][2] = {{"VMRPC_HANDLE(", "VMRPC_HANDLE_NAMED(name)"},
					       {"VMRPC_USERDATA(", "VMRPC_USERDATA_OF(callback)"},
					       {"VMRPC_CONSUMES(", "VMRPC_CONSUMES_WITH(fn)"}};
	const char *line = at.file && at.line ? source_line(at.file, at.line) : NULL;
	const char *here, *name;

	if (!line || !at.column || at.column > strlen(line))
		return NULL;
	for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++)
		if (strstr(line, pairs[i][0]) && strstr(line, pairs[i][0]) <= line + at.column) {
			*write = pairs[i][1];
			return "C can't offer one word with and without an argument";
		}
	here = line + at.column - 1;
	name = copy_of(here, strspn(here, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"));
	if (!starts_with(name, "VMRPC_"))
		return NULL;
	*write = nearest_word(name);
	if (*write && strcmp(*write, name) == 0) {
		*write = format("#include <vmrpc/annotate.h>, and %s(...) if it takes an argument", name);
		return format("%s is not what it should be here", name);
	}
	return format("there is no annotation %s", name);
}

static bool take_diagnostics(void)
{
	bool fine = true;

	for (unsigned i = 0, n = clang_getNumDiagnostics(unit); i < n; i++) {
		CXDiagnostic diagnostic = clang_getDiagnostic(unit, i);
		struct location at = where(clang_getDiagnosticLocation(diagnostic));
		const char *write = NULL, *message;

		if (clang_getDiagnosticSeverity(diagnostic) >= CXDiagnostic_Error) {
			const char *complaint = take(clang_getDiagnosticSpelling(diagnostic));

			/* gcc's malloc(fn) is fine; attribute.c reads it */
			if (!strstr(complaint, "malloc") || !strstr(complaint, "attribute takes no arguments")) {
				fine = false;
				message = explain_word(at, &write);
				error(at, write, "%s", message ? message : complaint);
			}
		}
		clang_disposeDiagnostic(diagnostic);
	}
	return fine;
}

static void visit_inclusion(CXFile file, CXSourceLocation *stack, unsigned depth, CXClientData data)
{
	const char *name = take(clang_getFileName(file));

	(void)stack;
	(void)depth;
	(void)data;
	if (strcmp(base_name(name), INPUT) != 0)
		APPEND(service->dependencies, service->n_dependencies, name);
}

static bool read_unit(const char *more, const struct options *options)
{
	static const char *const fixed[] = {"-xc", "-std=gnu11", "-DVMRPC_GENERATOR", "-w", "-ferror-limit=0"};
	struct text input = {0};
	struct CXUnsavedFile file = {.Filename = INPUT};
	const char **flags = allocate((sizeof fixed / sizeof *fixed + options->n_flags) * sizeof *flags);
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof fixed / sizeof *fixed; i++)
		flags[n++] = fixed[i];
	for (unsigned i = 0; i < options->n_flags; i++)
		flags[n++] = options->flags[i];
	for (unsigned i = 0; i < service->n_headers; i++)
		add(&input, "#include \"%s\"\n", service->headers[i].real);
	add(&input, "%s", more);
	file.Contents = input.string;
	file.Length = input.length;
	if (clang_parseTranslationUnit2(clang_createIndex(0, 0), INPUT, flags, (int)n, &file, 1,
					CXTranslationUnit_SkipFunctionBodies | CXTranslationUnit_KeepGoing,
					&unit) == CXError_Success)
		return true;
	error((struct location){0}, NULL, "the compiler could not read this at all: are the flags after -- right?");
	return false;
}

bool parse(struct service *ret_service, const struct options *options)
{
	char here[4096];

	service = ret_service;
	folder = format("%s/", getcwd(here, sizeof here - 1) ? here : "");
	if (!read_unit("", options))
		return false;
	if (!take_diagnostics())
		return false;
	clang_getInclusions(unit, visit_inclusion, NULL);
	clang_visitChildren(clang_getTranslationUnitCursor(unit), visit_top, NULL);
	for (unsigned i = 0; i < n_in_order; i++)
		if (in_order[i]->is_ours)
			take_function(in_order[i]);
	return true;
}

/* What the second reading asks is appended to the same headers: an enumeration for each constant, and for each field
 * given with its parameters, a struct. */
static enum CXChildVisitResult visit_answer(CXCursor cursor, CXCursor parent, CXClientData data)
{
	const char *name = take(clang_getCursorSpelling(cursor));
	const char **wanted;
	unsigned n, index;

	(void)parent;
	(void)data;
	if (clang_getCursorKind(cursor) == CXCursor_EnumDecl)
		return CXChildVisit_Recurse;
	if (clang_getCursorKind(cursor) == CXCursor_EnumConstantDecl && starts_with(name, "vmrpc__constant_")) {
		wanted = wanted_constants(&n);
		index = (unsigned)atoi(name + strlen("vmrpc__constant_"));
		if (index < n)
			set_constant(wanted[index], clang_getEnumConstantDeclValue(cursor));
	}
	if (clang_getCursorKind(cursor) == CXCursor_StructDecl && starts_with(name, "vmrpc__shape_")) {
		struct record *record = record_of(clang_getCursorType(cursor));
		struct note *note = service->directives;

		for (index = (unsigned)atoi(name + strlen("vmrpc__shape_")); note && index; index--)
			note = note->next;
		if (note && record->n_fields) {
			note->shape = record->fields[0]->signature;
			note->args[0] = record->fields[0]->name;
		}
	}
	return CXChildVisit_Continue;
}

/* Forgets answers that are no integer constants: clang says so at their line. */
static void drop_refused(unsigned first_line, unsigned first)
{
	unsigned n;
	const char **wanted = wanted_constants(&n);

	for (unsigned i = 0, count = clang_getNumDiagnostics(unit); i < count; i++) {
		CXDiagnostic diagnostic = clang_getDiagnostic(unit, i);
		unsigned line, index;
		CXFile file;

		clang_getExpansionLocation(clang_getDiagnosticLocation(diagnostic), &file, &line, NULL, NULL);
		if (file && strcmp(base_name(take(clang_getFileName(file))), INPUT) == 0 && line >= first_line &&
		    clang_getDiagnosticSeverity(diagnostic) >= CXDiagnostic_Error) {
			index = first + (line - first_line) / 3;
			if (index < n)
				wanted[index] = "";
		}
		clang_disposeDiagnostic(diagnostic);
	}
}

static unsigned n_asked; /* constants */

bool parse_again(struct service *ret_service, const struct options *options)
{
	const char **wanted;
	struct text more = {0};
	unsigned n, i, first;

	service = ret_service;
	wanted = wanted_constants(&n);
	for (i = first = n_asked; i < n; i++)
		add(&more, "#ifdef %s\nenum { vmrpc__constant_%u = (%s) };\n#endif\n", wanted[i], i, wanted[i]);
	n_asked = n;
	i = 0;
	for (const struct note *note = service->directives; note; note = note->next, i++)
		if (note->word == WORD_FIELD && note->n_args && strchr(note->args[0], '('))
			add(&more, "struct vmrpc__shape_%u { %s; };\n", i, note->args[0]);
	if (!more.length)
		return true;
	if (!read_unit(more.string, options))
		return false;
	drop_refused(service->n_headers + 1, first);
	memset(record_buckets, 0, sizeof record_buckets); /* these are other cursors */
	clang_visitChildren(clang_getTranslationUnitCursor(unit), visit_answer, NULL);
	return true;
}
