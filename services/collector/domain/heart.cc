#include "services/collector/domain/heart.h"

#include "lib/base/status.h"
#include "lib/chain/build_id.h"

namespace virp::collector {

absl::Status Heart::Tick() {
  if (liveness_.TakeChanged()) owed_ = true;
  if (!owed_ && clock_.Steady() < next_) return absl::OkStatus();
  owed_ = true;
  deliver::Observation beat;
  beat.type = frame::Type::kHeartbeat;
  beat.payload = chain::BuildOwnHeartbeat(liveness_.Beat(outbox_));
  ASSIGN_OR_RETURN(const auto receipts, outbox_.Emit(own_source_, {beat}));
  RETURN_IF_ERROR(outbox_.Sync(receipts.back().number));
  owed_ = false;
  next_ = clock_.Steady() + kBeatInterval;
  return absl::OkStatus();
}

}  // namespace virp::collector
