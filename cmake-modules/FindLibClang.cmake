# libclang, by its C interface: the target LibClang::LibClang. Debian: libclang-dev, or libclang-14-dev to
# libclang-22-dev; of several the newest is taken. Another one, or one elsewhere: -DLibClang_ROOT=/usr/lib/llvm-14.
#
# LibClang_VERSION is the major version.
set(libclang_prefixes)
foreach(version RANGE 22 14 -1)
  list(APPEND libclang_prefixes "/usr/lib/llvm-${version}" "/usr/lib/llvm/${version}" "/usr/lib64/llvm${version}")
endforeach()
find_path(LibClang_INCLUDE_DIR clang-c/Index.h PATHS ${libclang_prefixes} PATH_SUFFIXES include)
# The library of the same version: the one beside the headers.
cmake_path(GET LibClang_INCLUDE_DIR PARENT_PATH libclang_prefix)
find_library(LibClang_LIBRARY NAMES clang HINTS "${libclang_prefix}" PATH_SUFFIXES lib lib64)

set(LibClang_VERSION "")
if(LibClang_INCLUDE_DIR AND EXISTS "${libclang_prefix}/include/clang/Basic/Version.inc")
  file(STRINGS "${libclang_prefix}/include/clang/Basic/Version.inc" libclang_line REGEX "CLANG_VERSION_MAJOR ")
  string(REGEX REPLACE "[^0-9]*([0-9]+).*" "\\1" LibClang_VERSION "${libclang_line}")
elseif(libclang_prefix MATCHES "llvm[-/]?([0-9]+)")
  set(LibClang_VERSION "${CMAKE_MATCH_1}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibClang
  REQUIRED_VARS LibClang_LIBRARY LibClang_INCLUDE_DIR
  VERSION_VAR LibClang_VERSION
  REASON_FAILURE_MESSAGE "Debian: apt-get install libclang-dev")
mark_as_advanced(LibClang_LIBRARY LibClang_INCLUDE_DIR)

if(LibClang_FOUND AND NOT TARGET LibClang::LibClang)
  add_library(LibClang::LibClang UNKNOWN IMPORTED)
  set_target_properties(LibClang::LibClang PROPERTIES
    IMPORTED_LOCATION "${LibClang_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${LibClang_INCLUDE_DIR}")
endif()
