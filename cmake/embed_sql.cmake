# Run by virp_embed_sql at build time: writes OUT.h and OUT.cc from FILES ('|' between them), in the order given.
string(REPLACE "|" ";" FILES "${FILES}")
set(rows)
set(expected 1)
foreach(file IN LISTS FILES)
  get_filename_component(base ${file} NAME)
  if(NOT base MATCHES "^([0-9][0-9][0-9])_([a-z0-9_]+)\\.sql$")
    message(FATAL_ERROR "${file}: a schema file is called NNN_name.sql")
  endif()
  set(title ${CMAKE_MATCH_2})
  string(REGEX REPLACE "^0+" "" number ${CMAKE_MATCH_1})
  if(NOT "${number}" STREQUAL "${expected}")
    message(FATAL_ERROR "${file}: expected number ${expected}; schema files are numbered without holes, in order")
  endif()
  math(EXPR expected "${expected} + 1")
  file(SIZE ${file} size)
  if(size GREATER 65000)
    message(FATAL_ERROR "${file}: ${size} bytes do not fit into one string literal; split it")
  endif()
  file(READ ${file} text)
  file(SHA256 ${file} sha256)
  string(APPEND rows "    {${number}, \"${title}\", \"${sha256}\", R\"virp_sql(${text})virp_sql\"},\n")
endforeach()
file(WRITE ${OUT}.h "#pragma once

#include <span>

#include \"lib/store/migration.h\"

namespace virp::schema {

std::span<const store::Migration> ${FUNCTION}();

}  // namespace virp::schema
")
file(WRITE ${OUT}.cc "#include \"sql/${NAME}.h\"

namespace virp::schema {
namespace {

constexpr store::Migration kMigrations[] = {
${rows}};

}  // namespace

std::span<const store::Migration> ${FUNCTION}() { return kMigrations; }

}  // namespace virp::schema
")
