// TCP-AO pairs, plans and reports between the wire and the domain. Limits are checked before anything is allocated.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <string_view>

#include "absl/status/statusor.h"
#include "services/keymgr/domain/tcp_ao_keys.h"
#include "virp/keymgr/v1/tcp_ao_key.pb.h"

namespace virp::keymgr {

// InvalidField names what does not fit; the domain checks the values.
absl::StatusOr<TcpAoPair> PairOf(const v1::TcpAoPair& pair);
absl::StatusOr<TcpAoEnd> EndOf(v1::TcpAoEnd end);
absl::StatusOr<TcpAoForce> ForceOf(v1::TcpAoForce force);
absl::StatusOr<TcpAoFormat> FormatOf(v1::TcpAoFormat format);
absl::StatusOr<TcpAoReport> ReportOf(const v1::ReportTcpAoEndRequest& request);

void Fill(v1::TcpAoPair& to, const TcpAoPairRecord& record, UnixNanos now);
void Fill(v1::GetTcpAoPlanResponse& to, const TcpAoPlan& plan, const TcpAoPair& pair, TcpAoEnd end);

}  // namespace virp::keymgr
