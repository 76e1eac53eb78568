#include "services/onode/domain/candidate.h"

#include <utility>

namespace virp::onode {
namespace {

using frame::Reason;

bool TagHolds(const Candidate& candidate, std::uint32_t version, KeyCache& keys) {
  const auto key = keys.Find(*candidate.source, version);
  return key != nullptr && key->Verify(candidate.frame.signed_part, candidate.frame.tag);
}

Reason CheckVersion1(Candidate& candidate, KeyCache& keys) {
  const auto versions = chain::SourceBook::AcceptedVersions(*candidate.source, candidate.frame.header,
                                                            candidate.received, candidate.epoch);
  if (versions.empty()) return Reason::kKeyVersionUnknown;
  for (const std::uint32_t version : versions) {
    if (!TagHolds(candidate, version, keys)) continue;
    candidate.key_version = version;
    candidate.tag_good = true;
    return Reason::kNone;
  }
  return Reason::kBadTag;
}

Reason CheckVersion2(Candidate& candidate, KeyCache& keys) {
  const frame::Header& header = candidate.frame.header;
  const Reason reason = chain::SourceBook::CheckKeyVersion(
      *candidate.source, header.key_version, header, candidate.epoch, candidate.received, &candidate.admitted_late);
  if (reason != Reason::kNone) return reason;
  if (keys.Find(*candidate.source, header.key_version) == nullptr) return Reason::kKeyVersionUnknown;
  candidate.key_version = header.key_version;
  if (!TagHolds(candidate, header.key_version, keys)) return Reason::kBadTag;
  candidate.tag_good = true;
  return Reason::kNone;
}

Reason CheckSourceAndTag(Candidate& candidate, KeyCache& keys) {
  const frame::Header& header = candidate.frame.header;
  const bool v2 = header.spelling == frame::Spelling::kV2;
  if (v2 && header.source_id != candidate.source->id) return Reason::kSourceUnknown;
  candidate.bound = candidate.source->MayBeCarriedBy(*candidate.carrier);
  const Reason reason =
      chain::SourceBook::CheckSource(*candidate.source, header, *candidate.carrier, candidate.received);
  if (reason != Reason::kNone) return reason;
  return v2 ? CheckVersion2(candidate, keys) : CheckVersion1(candidate, keys);
}

}  // namespace

void Recheck(Candidate& candidate, const chain::SourceBook::SourceTable& table, std::uint64_t generation,
             KeyCache& keys) {
  candidate.generation = generation;
  if (!candidate.shaped) return;
  candidate.tag_good = false;
  candidate.bound = false;
  const auto found = table.find(candidate.delivery.source);
  candidate.source = found == table.end() ? nullptr : found->second;
  candidate.reason = candidate.source == nullptr ? Reason::kSourceUnknown : CheckSourceAndTag(candidate, keys);
}

std::unique_ptr<Candidate> CheckDelivery(Delivery delivery, std::shared_ptr<const std::string> carrier,
                                         UnixNanos received, const chain::SourceBook::SourceTable& table,
                                         std::uint64_t generation, KeyCache& keys) {
  auto candidate = std::make_unique<Candidate>(std::move(delivery));
  candidate->received = received;
  candidate->carrier = std::move(carrier);
  auto decoded = frame::Decode(candidate->delivery.frame, candidate->delivery.spelling);
  if (!decoded.ok()) {
    candidate->reason = frame::ReasonOf(decoded.status());
    return candidate;
  }
  candidate->frame = *decoded;
  candidate->shaped = true;
  candidate->epoch = candidate->frame.header.spelling == frame::Spelling::kV2 ? candidate->frame.header.boot_epoch
                                                                              : candidate->delivery.epoch;
  Recheck(*candidate, table, generation, keys);
  return candidate;
}

}  // namespace virp::onode
