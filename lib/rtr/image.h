// The body of a full answer.
#pragma once

#include "lib/rtr/encoded.h"
#include "lib/vrp/payload.h"

namespace virp::rtr {

// All that `version` (at most kMaxVersion) carries of the payloads, announced in the order of
// draft-ietf-sidrops-8210bis-27 section 11.2: the version's full answer without its Cache Response and End of Data,
// which differ from session to session. One allocation of the exact size. SPKIs have at most kMaxSpki octets, lists of
// providers at most vrp::kMaxProviders entries: that is the builder's business. Thread-safe.
Encoded EncodeImage(const vrp::Payloads& payloads, std::uint8_t version);

}  // namespace virp::rtr
