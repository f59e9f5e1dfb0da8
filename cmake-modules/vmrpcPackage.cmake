# What is installed, so that others find it: find_package(vmrpc CONFIG), pkg-config, headers, libraries.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/vmrpc")

install(TARGETS vmrpc vmrpc_static vmrpc_headers EXPORT vmrpc-targets)
if(TARGET vmrpcgen)
  install(TARGETS vmrpcgen EXPORT vmrpc-targets)
endif()
install(FILES cmake-modules/vmrpcGenerate.cmake DESTINATION "${package_dir}")
install(DIRECTORY include/vmrpc TYPE INCLUDE FILES_MATCHING PATTERN "*.h")
install(EXPORT vmrpc-targets NAMESPACE vmrpc:: DESTINATION "${package_dir}")

configure_package_config_file(cmake-modules/vmrpc-config.cmake.in vmrpc-config.cmake
  INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(vmrpc-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/vmrpc-config.cmake" "${PROJECT_BINARY_DIR}/vmrpc-config-version.cmake"
  DESTINATION "${package_dir}")

# vmrpc.pc says where things are relative to itself, so that the tree may be moved after it was installed.
set(pkgconfig_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
foreach(dir LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    set(pc_${dir} "${CMAKE_INSTALL_${dir}}")
  else()
    set(pc_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH pc_PREFIX "/${pkgconfig_dir}" "/")
  string(REGEX REPLACE "/$" "" pc_PREFIX "\${pcfiledir}/${pc_PREFIX}")
endif()
configure_file(cmake-modules/vmrpc.pc.in vmrpc.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/vmrpc.pc" DESTINATION "${pkgconfig_dir}")
