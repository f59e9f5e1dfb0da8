# How every target of this project is compiled: warnings, sanitizers, defines. Nothing of it is installed.
include(CheckIncludeFile)

add_library(vmrpc_build INTERFACE)
target_compile_definitions(vmrpc_build INTERFACE _GNU_SOURCE)
target_compile_options(vmrpc_build INTERFACE
  -Wall -Wextra -Wshadow -Wpointer-arith -Wvla
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
  $<$<BOOL:${VMRPC_WERROR}>:-Werror>)
if(VMRPC_SANITIZE)
  target_compile_options(vmrpc_build INTERFACE -fsanitize=${VMRPC_SANITIZE} -fno-omit-frame-pointer -g
    -fno-sanitize-recover=all
    $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>) # gcc's guesses go wrong in what sanitizers add
  target_link_options(vmrpc_build INTERFACE -fsanitize=${VMRPC_SANITIZE})
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(vmrpc_build INTERFACE VMRPC_CHECK_INVARIANTS)
endif()

# Probes for perf, bpftrace and systemtap, where Debian's systemtap-sdt-dev or its like is installed.
check_include_file(sys/sdt.h VMRPC_HAVE_SDT)
if(VMRPC_HAVE_SDT)
  target_compile_definitions(vmrpc_build INTERFACE VMRPC_HAVE_SDT=1)
endif()
