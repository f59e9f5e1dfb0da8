# Makes client and server of a library from its annotated headers:
#
#   vmrpc_generate(NAME
#     HEADERS file...            what declares the functions; relative to the current source folder
#     [NAME name]                of the service, instead of the name in VMRPC_SERVICE
#     [SIDECARS file...]         headers that annotate those nobody may edit
#     [CFLAGS flag...]           for reading them and for compiling what is generated
#     [CLIENT_SOURCES file...]   functions written by hand, added to either side
#     [SERVER_SOURCES file...]
#     [REPLACES library])        the original: a shared library's target, or its file
#
# gives the libraries NAME_client (link it instead of the original) and NAME_server (link it together with the
# original). Both bring NAME.rpc.h. Changing a header, one it includes, or vmrpcgen makes them anew.
#
# REPLACES also makes NAME_replacement, a shared library with the SONAME, symbols and versions of the original, in a
# folder NAME_replacement of its own, where it is also found by that SONAME: programs that have that folder in
# LD_LIBRARY_PATH call the service, and need not be linked anew. Functions that the service does not carry are there
# and fail in words; the build lists them. foo@V1, an older version of foo with code of its own, is carried by a
# function foo__V1.
#
# vmrpcgen is that of this vmrpc, or, where that can't run because one builds for another machine, the one that
# VMRPC_VMRPCGEN names.
include_guard(GLOBAL)

# The program to run, and what to depend on.
function(vmrpc_find_generator ret_command ret_depends)
  if(VMRPC_VMRPCGEN)
    set(command "${VMRPC_VMRPCGEN}")
    set(depends "${VMRPC_VMRPCGEN}")
  elseif(CMAKE_CROSSCOMPILING)
    find_program(VMRPC_VMRPCGEN vmrpcgen NO_CMAKE_FIND_ROOT_PATH
      DOC "vmrpcgen of the machine that builds, for cross-compiling")
    if(NOT VMRPC_VMRPCGEN)
      message(FATAL_ERROR "vmrpc_generate: when cross-compiling, set VMRPC_VMRPCGEN to a vmrpcgen of this machine")
    endif()
    set(command "${VMRPC_VMRPCGEN}")
    set(depends "${VMRPC_VMRPCGEN}")
  elseif(TARGET vmrpc::vmrpcgen)
    set(command vmrpc::vmrpcgen)
    set(depends vmrpc::vmrpcgen)
    get_target_property(imported vmrpc::vmrpcgen IMPORTED)
    if(imported) # a target that is not built here tells nobody that its file has changed
      get_target_property(depends vmrpc::vmrpcgen LOCATION)
    endif()
  else()
    message(FATAL_ERROR "vmrpc_generate: this vmrpc was built without vmrpcgen, which needs libclang; "
      "set VMRPC_VMRPCGEN to one that is installed elsewhere")
  endif()
  set(${ret_command} "${command}" PARENT_SCOPE)
  set(${ret_depends} "${depends}" PARENT_SCOPE)
endfunction()

# The file that REPLACES names, what to depend on, and its SONAME.
function(vmrpc_find_original target original ret_file ret_depends ret_soname)
  set(where "vmrpc_generate(${target}): REPLACES ${original}")
  if(TARGET "${original}")
    get_target_property(type "${original}" TYPE)
    get_target_property(imported "${original}" IMPORTED)
    if(NOT type MATCHES "^(SHARED|UNKNOWN)_LIBRARY$")
      message(FATAL_ERROR "${where}: that target is of type ${type}; only a shared library can be replaced "
        "without linking programs anew. Programs that link the library itself: link ${target}_client")
    endif()
    if(NOT imported)
      set(${ret_file} "$<TARGET_FILE:${original}>" PARENT_SCOPE)
      set(${ret_depends} "${original}" "$<TARGET_FILE:${original}>" PARENT_SCOPE)
      set(${ret_soname} "$<TARGET_SONAME_FILE_NAME:${original}>" PARENT_SCOPE)
      return()
    endif()
    get_target_property(file "${original}" LOCATION)
    if(NOT file)
      message(FATAL_ERROR "${where}: that target does not say where its file is")
    endif()
  else()
    set(file "${original}")
    cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
  endif()
  if(NOT EXISTS "${file}")
    message(FATAL_ERROR "${where}: that is no target, and there is no file ${file}")
  endif()

  # vmrpcgen reads the rest, but may not have been built yet.
  if(CMAKE_READELF)
    set(reader "${CMAKE_READELF}" -d)
  elseif(CMAKE_OBJDUMP)
    set(reader "${CMAKE_OBJDUMP}" -p)
  else()
    message(FATAL_ERROR "${where}: it takes readelf or objdump (CMAKE_READELF, CMAKE_OBJDUMP) to see its SONAME")
  endif()
  execute_process(COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${reader} "${file}" OUTPUT_VARIABLE dynamic ERROR_QUIET)
  if(NOT dynamic MATCHES "(soname: \\[|SONAME +)([^]\n]+)")
    message(FATAL_ERROR "${where}: ${file} is no shared library with a SONAME, by which programs look for it")
  endif()
  set(soname "${CMAKE_MATCH_2}")
  set(${ret_file} "${file}" PARENT_SCOPE)
  set(${ret_depends} "${file}" PARENT_SCOPE)
  set(${ret_soname} "${soname}" PARENT_SCOPE)
endfunction()

function(vmrpc_make_replacement target name original folder command depends)
  vmrpc_find_original("${target}" "${original}" file original_depends soname)
  set(client ${target}_client)
  set(library ${target}_replacement)
  set(outputs "${folder}/${name}.replacement.c" "${folder}/${name}.replacement.map")
  # vmrpcgen looks into these objects
  set_target_properties(${client} PROPERTIES C_VISIBILITY_PRESET default INTERPROCEDURAL_OPTIMIZATION OFF)
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND "${command}" --replaces "${file}" -o "${folder}" --name "${name}" "$<TARGET_OBJECTS:${client}>"
    DEPENDS ${client} "$<TARGET_FILE:${client}>" ${original_depends} ${depends}
    COMMENT "Generating ${name}.replacement"
    COMMAND_EXPAND_LISTS
    VERBATIM)
  add_library(${library} SHARED "$<TARGET_OBJECTS:${client}>" ${outputs})
  add_dependencies(${library} ${client})
  # The file is called as the target is, and what programs look for is a link to it: a file of the original's name
  # would be mistaken by Ninja for the original, where both are made by one project.
  set_target_properties(${library} PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/${library}"
    NO_SONAME ON
    C_STANDARD 11 C_STANDARD_REQUIRED ON C_VISIBILITY_PRESET default INTERPROCEDURAL_OPTIMIZATION OFF
    LINKER_LANGUAGE C
    LINK_DEPENDS "${folder}/${name}.replacement.map")
  target_compile_options(${library} PRIVATE -fno-builtin) # it defines functions of any name
  target_link_options(${library} PRIVATE "LINKER:--version-script=${folder}/${name}.replacement.map"
    "LINKER:-soname,${soname}" LINKER:--exclude-libs,ALL)
  add_custom_command(TARGET ${library} POST_BUILD VERBATIM
    COMMAND ${CMAKE_COMMAND} -E create_symlink $<TARGET_FILE_NAME:${library}> "$<TARGET_FILE_DIR:${library}>/${soname}")
  target_link_libraries(${library} PRIVATE "$<TARGET_PROPERTY:${client},INTERFACE_LINK_LIBRARIES>")
endfunction()

function(vmrpc_generate target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "NAME;REPLACES" "HEADERS;SIDECARS;CFLAGS;CLIENT_SOURCES;SERVER_SOURCES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "vmrpc_generate(${target}): what is '${arg_UNPARSED_ARGUMENTS}'?")
  endif()
  if(DEFINED arg_KEYWORDS_MISSING_VALUES)
    message(FATAL_ERROR "vmrpc_generate(${target}): what follows ${arg_KEYWORDS_MISSING_VALUES}?")
  endif()
  if(NOT arg_HEADERS)
    message(FATAL_ERROR "vmrpc_generate(${target}): HEADERS are missing")
  endif()
  if(NOT arg_NAME)
    set(arg_NAME "${target}")
  endif()
  vmrpc_find_generator(command depends)

  set(folder "${CMAKE_CURRENT_BINARY_DIR}/${target}.rpc")
  set(headers "")
  set(sidecar_headers "")
  set(sidecars "")
  set(folders "")
  foreach(header IN LISTS arg_HEADERS)
    cmake_path(ABSOLUTE_PATH header BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
    list(APPEND headers "${header}")
    cmake_path(GET header PARENT_PATH parent)
    list(APPEND folders "${parent}")
  endforeach()
  foreach(sidecar IN LISTS arg_SIDECARS)
    cmake_path(ABSOLUTE_PATH sidecar BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
    list(APPEND sidecars --sidecar "${sidecar}")
    list(APPEND sidecar_headers "${sidecar}")
    cmake_path(GET sidecar PARENT_PATH parent)
    list(APPEND folders "${parent}")
  endforeach()
  list(REMOVE_DUPLICATES folders)
  list(TRANSFORM folders PREPEND -I OUTPUT_VARIABLE include_flags)
  set(vmrpc_includes "$<TARGET_PROPERTY:vmrpc::vmrpc,INTERFACE_INCLUDE_DIRECTORIES>") # where <vmrpc/annotate.h> is
  set(machine_flags "")
  if(CMAKE_CROSSCOMPILING) # libclang reads for the machine that it runs on unless told
    list(APPEND machine_flags "--target=${CMAKE_LIBRARY_ARCHITECTURE}")
    foreach(include IN LISTS CMAKE_C_IMPLICIT_INCLUDE_DIRECTORIES)
      if(NOT include MATCHES "/gcc") # clang has those of its own
        list(APPEND machine_flags "-isystem${include}")
      endif()
    endforeach()
  endif()

  # With Make, CMake 3.25 adds what a depfile says to what it said before: a header that was included once and is gone
  # would make everything anew for ever. Where CMake remembers nothing, it reads the depfile alone.
  set(forget "")
  if(CMAKE_GENERATOR MATCHES "Makefiles")
    set(forget COMMAND ${CMAKE_COMMAND} -E rm -f
      "${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/${target}_generated.dir/compiler_depend.internal")
  endif()

  set(outputs "${folder}/${arg_NAME}.rpc.h" "${folder}/${arg_NAME}.client.c" "${folder}/${arg_NAME}.server.c")
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND "${command}" -o "${folder}" --name "${arg_NAME}" --depfile "${folder}/${arg_NAME}.d" ${sidecars} ${headers}
      -- ${include_flags} "-I$<JOIN:${vmrpc_includes},;-I>" ${machine_flags} ${arg_CFLAGS}
    ${forget}
    DEPENDS ${headers} ${sidecar_headers} ${depends}
    DEPFILE "${folder}/${arg_NAME}.d"
    COMMENT "Generating ${arg_NAME}.rpc.h, client and server"
    COMMAND_EXPAND_LISTS
    VERBATIM)
  # Two libraries need the same files: with Make both would make them, at once.
  add_custom_target(${target}_generated DEPENDS ${outputs})

  set(seen_flags "${arg_CFLAGS}")
  list(FILTER seen_flags INCLUDE REGEX "^-[DUI].")
  foreach(side client server)
    string(TOUPPER ${side}_SOURCES by_hand)
    set(library ${target}_${side})
    add_library(${library} STATIC "${folder}/${arg_NAME}.${side}.c" ${arg_${by_hand}})
    add_dependencies(${library} ${target}_generated)
    set_target_properties(${library} PROPERTIES POSITION_INDEPENDENT_CODE ON C_STANDARD 11 C_STANDARD_REQUIRED ON)
    target_include_directories(${library} PUBLIC "${folder}" ${folders})
    target_compile_options(${library} PRIVATE ${arg_CFLAGS})
    target_compile_options(${library} INTERFACE ${seen_flags}) # NAME.rpc.h means what it was made from
    target_link_libraries(${library} PUBLIC vmrpc::vmrpc)
  endforeach()
  if(arg_CLIENT_SOURCES)
    # A linker takes nothing out of an archive for a name that a weak stub has already: these go to it as they are.
    set(by_hand ${target}_by_hand)
    add_library(${by_hand} OBJECT ${arg_CLIENT_SOURCES})
    add_dependencies(${by_hand} ${target}_generated)
    set_target_properties(${by_hand} PROPERTIES POSITION_INDEPENDENT_CODE ON C_STANDARD 11 C_STANDARD_REQUIRED ON)
    target_include_directories(${by_hand} PRIVATE "${folder}" ${folders})
    target_compile_options(${by_hand} PRIVATE ${arg_CFLAGS})
    target_link_libraries(${by_hand} PRIVATE vmrpc::vmrpc)
    target_sources(${target}_client INTERFACE $<TARGET_OBJECTS:${by_hand}>)
  endif()
  if(arg_REPLACES)
    vmrpc_make_replacement("${target}" "${arg_NAME}" "${arg_REPLACES}" "${folder}" "${command}" "${depends}")
  endif()
endfunction()
