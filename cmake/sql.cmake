# virp_embed_sql(NAME FILES schema/001_initial.sql ...)  ->  target virp_NAME
# Compiles numbered schema files into a library, so that a service carries its own schema. For NAME onode_sqlite_schema:
#   #include "sql/onode_sqlite_schema.h"   std::span<const store::Migration> virp::schema::OnodeSqliteSchema();
function(virp_embed_sql name)
  cmake_parse_arguments(ARG "" "" "FILES" ${ARGN})
  set(function_name)
  string(REPLACE "_" ";" words ${name})
  foreach(word IN LISTS words)
    string(SUBSTRING ${word} 0 1 head)
    string(SUBSTRING ${word} 1 -1 tail)
    string(TOUPPER ${head} head)
    string(APPEND function_name ${head}${tail})
  endforeach()
  set(files)
  foreach(file IN LISTS ARG_FILES)
    get_filename_component(file ${file} ABSOLUTE)
    list(APPEND files ${file})
  endforeach()
  set(out ${PROJECT_BINARY_DIR}/generated/sql/${name})
  list(JOIN files "|" joined)
  add_custom_command(
    OUTPUT ${out}.h ${out}.cc
    COMMAND ${CMAKE_COMMAND} -DNAME=${name} -DFUNCTION=${function_name} "-DFILES=${joined}" -DOUT=${out}
            -P ${PROJECT_SOURCE_DIR}/cmake/embed_sql.cmake
    DEPENDS ${files} ${PROJECT_SOURCE_DIR}/cmake/embed_sql.cmake
    COMMENT "Embedding ${name}" VERBATIM)
  add_library(virp_${name} STATIC ${out}.cc ${out}.h)
  target_include_directories(virp_${name} PUBLIC ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(virp_${name} PUBLIC virp_store)
  virp_compile_options(virp_${name})
endfunction()
