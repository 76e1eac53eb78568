// The key manager itself: sealed or not, its key-encryption keys, its history, what ends soon.
#include <iostream>

#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "virp/keymgr/v1/key_admin.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using Service = pb::KeyAdminService;

template <typename Response>
absl::StatusOr<Exit> ShowRecord(const Options& options, const absl::StatusOr<Response>& response) {
  return Show(options, response,
              [](const Response& answer) { return fmt::format("done; audit record {}\n", answer.record()); });
}

std::string KeysText(const pb::AuditRecord& record) {
  std::string out;
  for (const pb::KeyName& key : record.keys())
    out += fmt::format("{}{} {} version {}", out.empty() ? "" : ", ", key.kind(), key.id(), key.version());
  return out.empty() ? "-" : out;
}

}  // namespace

absl::StatusOr<Exit> KeymgrStatus(const Options& options) {
  ASSIGN_OR_RETURN(const auto status, Ask(ToKeymgr(options), &Service::Stub::GetStatus, pb::GetStatusRequest()));
  // One that may not be used now is no error, and scripts want to know.
  const Exit exit = status.active() && status.sealed().empty() ? Exit::kYes : Exit::kNo;
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(status));
    return exit;
  }
  Table table({"ITEM", "VALUE"});
  table.Add(
      {"active", status.active()
                     ? "yes"
                     : fmt::format("no; {} is", status.active_address().empty() ? "nobody" : status.active_address())});
  table.Add({"sealed", status.sealed().empty() ? "no" : fmt::format("{}", fmt::join(status.sealed(), ", "))});
  for (const std::string& problem : status.problems()) table.Add({"problem", problem});
  table.Add({"audit records", fmt::format("{}", status.record())});
  table.Add({"newest record", fmt::format("epoch {}, number {}, SHA-256 {}", status.epoch(), status.sequence(),
                                          HexEncode(status.frame_sha256()))});
  for (const pb::KeyEncryptionKey& kek : status.keks())
    table.Add({fmt::format("key-encryption key {}", kek.version()),
               fmt::format("{} since {}, check {}", kek.state(), TimeText(kek.changed()), kek.check())});
  table.Add({"envelopes", fmt::format("{} under the current key, {} to re-wrap, {} damaged", status.rewrapped(),
                                      status.rewrap_left(), status.damaged())});
  Print(table.ToString());
  return exit;
}

absl::StatusOr<Exit> KeymgrSeal(const Options& options, const KeymgrOptions& keymgr) {
  std::cerr << "sealing: no key is made, used or handed out until Unseal. Collectors and O-Nodes go on with what they "
               "have. Nothing is published: relying parties drop all our router keys when CRL and manifest end, as "
               "`keys rpki publication` says\n";
  return ShowRecord(options, Ask(ToKeymgr(options), &Service::Stub::Seal, Change<pb::SealRequest>(keymgr)));
}

absl::StatusOr<Exit> KeymgrUnseal(const Options& options, const KeymgrOptions& keymgr) {
  return ShowRecord(options, Ask(ToKeymgr(options), &Service::Stub::Unseal, Change<pb::UnsealRequest>(keymgr)));
}

absl::StatusOr<Exit> KeymgrRotateKek(const Options& options, const KeymgrOptions& keymgr) {
  auto request = Change<pb::RotateKekRequest>(keymgr);
  request.set_version(keymgr.kek_version);
  return ShowRecord(options, Ask(ToKeymgr(options), &Service::Stub::RotateKek, request));
}

absl::StatusOr<Exit> KeymgrAcceptRollback(const Options& options, const KeymgrOptions& keymgr) {
  auto request = Change<pb::AcceptRollbackRequest>(keymgr);
  request.set_chain_record(keymgr.chain_record);
  RETURN_IF_ERROR(Announce(
      keymgr.yes, "The key manager goes on from a database that is behind the chain",
      {fmt::format("what the records up to {} changed and this database does not hold is lost for ever, but for what "
                   "the chain says of it",
                   keymgr.chain_record),
       "keys that were made since are lost: HMAC secrets, router keys that were made here, TCP-AO keys",
       "what was exported, tainted or revoked stays so; if the issuing authority had come to a newer key, it gets "
       "another one",
       "if a newer backup may exist, bring that one first: there is no way back from here"}));
  return ShowRecord(options, Ask(ToKeymgr(options), &Service::Stub::AcceptRollback, request));
}

absl::StatusOr<Exit> KeymgrAudit(const Options& options, const KeymgrOptions& keymgr) {
  pb::ListAuditRecordsRequest request;
  request.set_event(keymgr.event);
  request.set_actor(keymgr.actor);
  request.set_source(keymgr.source);
  if (!keymgr.from.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_from(), TimestampIn(keymgr.from, "--from"));
  }
  if (!keymgr.to.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_to(), TimestampIn(keymgr.to, "--to"));
  }
  ASSIGN_OR_RETURN(const auto all, AskPages(ToKeymgr(options), &Service::Stub::ListAuditRecords, request,
                                            &pb::ListAuditRecordsResponse::mutable_records, keymgr.limit));
  if (!all.next_page_token().empty())
    std::cerr << "these are the newest " << all.records_size() << "; --limit shows more, --to TIME older ones\n";
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"RECORD", "TIME", "EVENT", "SOURCE", "KEYS", "BY", "REASON"});
  for (const pb::AuditRecord& record : all.records()) {
    table.Add({fmt::format("{}", record.record()), TimeText(record.time()), record.event(), record.source(),
               KeysText(record), record.actor(), Printable(record.reason())});
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> KeymgrExpiring(const Options& options, const KeymgrOptions& keymgr) {
  pb::ListExpiringRequest request;
  request.set_days(keymgr.days);
  constexpr int kMost = 1'000;  // that the manager gives
  request.set_page_size(kMost);
  ASSIGN_OR_RETURN(const auto all, Ask(ToKeymgr(options), &Service::Stub::ListExpiring, request));
  if (all.items_size() >= kMost)
    std::cerr << "these are the " << kMost
              << " that are due first; what is due after them is shown when some of them are done\n";
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"DUE", "KIND", "ID", "OF", "STATE"});
  for (const pb::ExpiringItem& item : all.items())
    table.Add({TimeText(item.due()), item.kind(), item.id(), item.parent().empty() ? "-" : item.parent(),
               item.state().empty() ? "-" : item.state()});
  Print(table.ToString());
  return Exit::kYes;
}

}  // namespace virp::virpctl
