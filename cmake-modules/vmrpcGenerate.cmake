# Makes client and server of a library from its annotated headers:
#
#   vmrpc_generate(NAME
#     HEADERS file...            what declares the functions; relative to the current source folder
#     [NAME name]                of the service, instead of the name in VMRPC_SERVICE
#     [SIDECARS file...]         headers that annotate those nobody may edit
#     [CFLAGS flag...]           for reading them and for compiling what is generated
#     [CLIENT_SOURCES file...]   functions written by hand, added to either side
#     [SERVER_SOURCES file...])
#
# gives the libraries NAME_client (link it instead of the original) and NAME_server (link it together with the
# original). Both bring NAME.rpc.h. Changing a header, one it includes, or vmrpcgen makes them anew.
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

function(vmrpc_generate target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "NAME;REPLACES" "HEADERS;SIDECARS;CFLAGS;CLIENT_SOURCES;SERVER_SOURCES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "vmrpc_generate(${target}): what is '${arg_UNPARSED_ARGUMENTS}'?")
  endif()
  if(arg_REPLACES)
    message(FATAL_ERROR "vmrpc_generate(${target}): REPLACES is not there yet; link ${target}_client instead")
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

  set(outputs "${folder}/${arg_NAME}.rpc.h" "${folder}/${arg_NAME}.client.c" "${folder}/${arg_NAME}.server.c")
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND "${command}" -o "${folder}" --name "${arg_NAME}" --depfile "${folder}/${arg_NAME}.d" ${sidecars} ${headers}
      -- ${include_flags} "-I$<JOIN:${vmrpc_includes},;-I>" ${machine_flags} ${arg_CFLAGS}
    DEPENDS ${headers} ${sidecar_headers} ${depends}
    DEPFILE "${folder}/${arg_NAME}.d"
    COMMENT "Generating ${arg_NAME}.rpc.h, client and server"
    COMMAND_EXPAND_LISTS
    VERBATIM)
  # Two libraries need the same files: with Make both would make them, at once.
  add_custom_target(${target}_generated DEPENDS ${outputs})

  foreach(side client server)
    string(TOUPPER ${side}_SOURCES by_hand)
    set(library ${target}_${side})
    add_library(${library} STATIC "${folder}/${arg_NAME}.${side}.c" ${arg_${by_hand}})
    add_dependencies(${library} ${target}_generated)
    set_target_properties(${library} PROPERTIES POSITION_INDEPENDENT_CODE ON C_STANDARD 11 C_STANDARD_REQUIRED ON)
    target_include_directories(${library} PUBLIC "${folder}" ${folders})
    target_compile_options(${library} PRIVATE ${arg_CFLAGS})
    target_link_libraries(${library} PUBLIC vmrpc::vmrpc)
  endforeach()
endfunction()
