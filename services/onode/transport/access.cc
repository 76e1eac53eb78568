#include "services/onode/transport/access.h"

namespace virp::onode {

using service::MethodRule;
using service::Role;

std::vector<MethodRule> AccessTable() {
  const service::RoleSet carriers{Role::kCollector, Role::kRtrBridge, Role::kKeymgr};
  const service::RoleSet readers{Role::kReader, Role::kOperator, Role::kApprover};
  const service::RoleSet keepers{Role::kReader, Role::kOperator};
  const service::RoleSet operators{Role::kOperator};
  std::vector<MethodRule> rows;
  const auto add = [&rows](std::string_view service, std::initializer_list<std::string_view> methods,
                           const service::RoleSet& roles) {
    for (const std::string_view method : methods)
      rows.push_back({"/" + std::string(service) + "/" + std::string(method), roles});
  };
  // A deliverer's sources are bound to it by their registrations, which are entries of the chain.
  add("virp.ingest.v1.IngestService", {"Deliver"}, carriers);
  add("virp.verify.v1.VerifyService",
      {"VerifyClaim", "VerifyClaims", "WatchClaim", "GetSubject", "ListSubjects", "ListObservations",
       "WatchObservations"},
      readers);
  add("virp.verify.v1.VerifyService", {"VerifyFrame"}, {Role::kOperator, Role::kCollector, Role::kRtrBridge});
  add("virp.chain.v1.ChainService",
      {"StreamEntries", "GetCheckpoint", "GetInclusionProof", "GetConsistencyProof", "GetEvidence", "VerifyChain"},
      readers);
  // A key manager compares its own history with what the chain holds of it, and its clock with the chain's time.
  add("virp.chain.v1.ChainService", {"GetChain"}, {Role::kReader, Role::kOperator, Role::kApprover, Role::kKeymgr});
  add("virp.chain.v1.ChainService", {"GetEntry"}, {Role::kReader, Role::kOperator, Role::kApprover, Role::kKeymgr});
  add("virp.source.v1.SourceService", {"GetSource"}, {Role::kReader, Role::kOperator, Role::kKeymgr});
  add("virp.source.v1.SourceService", {"ListSources", "ListQuarantine"}, keepers);
  add("virp.source.v1.SourceService",
      {"RegisterSource", "UpdateSource", "SuspendSource", "ResumeSource", "MarkBlack", "ClearAlarm", "ResetSourceEpoch",
       "AdmitLate"},
      operators);
  add("virp.chain.v1.ChainAdminService", {"CreateChain", "SucceedChain", "RollCheckpointKey", "ListCheckpointKeys"},
      operators);
  return rows;
}

std::vector<std::string> BreakGlassMethods() {
  return {"/virp.chain.v1.ChainService/GetChain", "/virp.source.v1.SourceService/GetSource",
          "/virp.source.v1.SourceService/ListSources", "/virp.source.v1.SourceService/ClearAlarm"};
}

}  // namespace virp::onode
