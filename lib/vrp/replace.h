// Changing a set by what comes and what goes. Pure and thread-safe.
#pragma once

#include "lib/vrp/payload.h"

namespace virp::vrp {

// The set without what is in `gone`, and with `news`, which takes the place of its equals: with another expiry, or, of
// an ASPA, with other providers. What is in both is there. All three are sets; linear.
Payloads Replaced(const Payloads& set, const Payloads& gone, const Payloads& news);

// The same, with what had to leave the set: what `gone` or `news` has an equal of, as it was. So the difference between
// the two sets is the difference between `left` and `news`, and those are small where little changes.
struct Exchanged {
  Payloads set, left;
};
Exchanged Exchange(const Payloads& set, const Payloads& gone, const Payloads& news);

// What is in both, as `now` has it, where it expires at another time there than in `before`. Linear; an ASPA is in both
// when its customer is.
Payloads Renewed(const Payloads& before, const Payloads& now);

}  // namespace virp::vrp
