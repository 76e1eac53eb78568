#include "lib/chain/break_glass.h"

#include "lib/frame/payload.h"

namespace virp::chain {

std::string BuildBreakGlass(const BreakGlass& use) {
  frame::JsonWriter json;
  json.BeginObject().Field("domain", "virp").Field("event", "break_glass").Field("method", use.method);
  return json.Field("uid", use.uid).Field("pid", use.pid).EndObject().Take();
}

}  // namespace virp::chain
