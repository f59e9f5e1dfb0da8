# How every target of this project is compiled: warnings, sanitizers, defines.
add_library(vmrpc_build INTERFACE)
target_compile_definitions(vmrpc_build INTERFACE _GNU_SOURCE)
target_compile_options(vmrpc_build INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
  $<$<BOOL:${VMRPC_WERROR}>:-Werror>)
if(VMRPC_SANITIZE)
  target_compile_options(vmrpc_build INTERFACE -fsanitize=${VMRPC_SANITIZE} -fno-omit-frame-pointer -g
    -fno-sanitize-recover=all)
  target_link_options(vmrpc_build INTERFACE -fsanitize=${VMRPC_SANITIZE})
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(vmrpc_build INTERFACE VMRPC_CHECK_INVARIANTS)
endif()
