// Internal: what fact_book.cc and evaluate.cc share.
#pragma once

#include <utility>

#include "services/onode/domain/fact_book.h"
#include "services/onode/domain/fact_state.h"

namespace virp::onode {

struct FactBook::Impl {
  explicit Impl(std::string origin) : state(std::move(origin)) {}
  facts::FactState state;
};

}  // namespace virp::onode
