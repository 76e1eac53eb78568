# Contracts to code. Written by hand instead of protobuf_generate because that one names files after the calling
# directory and does not rebuild when an imported file changes.

set(VIRP_PROTO_DIR ${PROJECT_SOURCE_DIR}/proto)
set(VIRP_PROTO_OUT ${PROJECT_BINARY_DIR}/proto)

# virp_proto(NAME FILES path.proto ... [ROOT dir] [DEPS target ...] [NO_GRPC])  ->  target virp_proto_NAME
# FILES are import names, relative to ROOT (default proto/); a service in them gets its gRPC code too. The target's
# headers are included by import name: #include "virp/chain/v1/chain.grpc.pb.h". Unused imports are errors.
function(virp_proto name)
  cmake_parse_arguments(ARG "NO_GRPC" "ROOT" "FILES;DEPS" ${ARGN})
  if(NOT ARG_ROOT)
    set(ARG_ROOT ${VIRP_PROTO_DIR})
  endif()
  set(generated)
  foreach(file IN LISTS ARG_FILES)
    string(REGEX REPLACE "\\.proto$" "" stem ${file})
    set(outputs ${VIRP_PROTO_OUT}/${stem}.pb.cc ${VIRP_PROTO_OUT}/${stem}.pb.h)
    set(grpc_args)
    if(NOT ARG_NO_GRPC)
      # First, as protoc sorts them: ninja wants the depfile to begin with the first output.
      list(PREPEND outputs ${VIRP_PROTO_OUT}/${stem}.grpc.pb.cc ${VIRP_PROTO_OUT}/${stem}.grpc.pb.h)
      set(grpc_args --grpc_out=${VIRP_PROTO_OUT} --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>)
    endif()
    get_filename_component(folder ${VIRP_PROTO_OUT}/${stem} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND protobuf::protoc -I ${ARG_ROOT} -I ${VIRP_PROTO_DIR} -I ${VIRP_PROTO_DIR}/third_party --fatal_warnings
              --cpp_out=${VIRP_PROTO_OUT} ${grpc_args} --dependency_out=${VIRP_PROTO_OUT}/${stem}.d ${file}
      DEPENDS ${ARG_ROOT}/${file} protobuf::protoc gRPC::grpc_cpp_plugin
      DEPFILE ${VIRP_PROTO_OUT}/${stem}.d
      COMMENT "Generating ${stem}" VERBATIM)
    list(APPEND generated ${outputs})
    set_property(GLOBAL APPEND PROPERTY VIRP_PROTO_INPUTS ${ARG_ROOT}/${file})
    set_property(GLOBAL APPEND PROPERTY VIRP_PROTO_NAMES ${file})
  endforeach()

  if(NOT generated)  # a package whose contract is not written yet
    add_library(virp_proto_${name} INTERFACE)
    target_link_libraries(virp_proto_${name} INTERFACE ${ARG_DEPS})
    return()
  endif()
  # Not virp_compile_options: generated code does not meet our warnings, and need not.
  add_library(virp_proto_${name} STATIC ${generated})
  target_include_directories(virp_proto_${name} SYSTEM PUBLIC ${VIRP_PROTO_OUT})
  target_link_libraries(virp_proto_${name} PUBLIC ${ARG_DEPS} protobuf::libprotobuf gRPC::grpc++)
  target_compile_options(virp_proto_${name} PRIVATE -w)
  virp_sanitize(virp_proto_${name})
endfunction()

# virp_protoset(NAME): one descriptor set of every file given to virp_proto so far, with imports and comments, for
# grpcurl -protoset and for the tests that walk the contracts. Built as ${PROJECT_BINARY_DIR}/NAME, installed below share/virp.
function(virp_protoset name)
  get_property(inputs GLOBAL PROPERTY VIRP_PROTO_INPUTS)
  get_property(names GLOBAL PROPERTY VIRP_PROTO_NAMES)
  add_custom_command(
    OUTPUT ${PROJECT_BINARY_DIR}/${name}
    COMMAND protobuf::protoc -I ${VIRP_PROTO_DIR} -I ${VIRP_PROTO_DIR}/third_party --include_imports --include_source_info
            --descriptor_set_out=${PROJECT_BINARY_DIR}/${name} ${names}
    DEPENDS ${inputs} protobuf::protoc
    COMMENT "Writing ${name}" VERBATIM)
  add_custom_target(virp_protoset ALL DEPENDS ${PROJECT_BINARY_DIR}/${name})
  install(FILES ${PROJECT_BINARY_DIR}/${name} DESTINATION ${CMAKE_INSTALL_DATADIR}/virp COMPONENT virpctl)
endfunction()
