// Conditions on payload fields as people write them: "new.med <= 100", "new_state = Established", "holdtime exists".
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "virp/verify/v1/verify_service.pb.h"

namespace virp::virpctl {

// PATH, one of = != < <= > >=, and a value; or PATH and `exists` or `absent`. Spaces around them do not count. A value
// in double quotes is text as it stands between them; without, a whole number is an integer, another JSON number a
// number, `true` and `false` truth values, and all else is text. InvalidArgument says what is wrong.
absl::StatusOr<verify::v1::FieldCondition> ParseCondition(std::string_view text);

}  // namespace virp::virpctl
