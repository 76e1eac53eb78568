#include "services/rtr-bridge/domain/cache_state.h"

#include "lib/base/saved.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::string_view kMagic = "virp-rtr-bridge state 1\n";
constexpr std::uint64_t kMostItems = 100'000;  // of one list; more is damage

std::string_view BytesOf(const Hash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

void AppendHashes(std::string& out, const std::vector<NamedHash>& hashes) {
  AppendSaved(out, hashes.size());
  for (const NamedHash& one : hashes) {
    AppendSaved(out, one.name);
    AppendSaved(out, BytesOf(one.sha256));
  }
}

void AppendGeneration(std::string& out, const Generation& generation) {
  const Counts& counts = generation.counts;
  for (const std::uint64_t number :
       {generation.number, generation.activated, std::uint64_t{counts.vrps4}, std::uint64_t{counts.vrps6},
        std::uint64_t{counts.router_keys}, std::uint64_t{counts.aspas}, std::uint64_t{generation.announced},
        std::uint64_t{generation.withdrawn}})
    AppendSaved(out, number);
  AppendSaved(out, BytesOf(generation.sha256));
  for (const Serial& serial : generation.serials) {
    AppendSaved(out, std::uint64_t{serial.session});
    AppendSaved(out, std::uint64_t{serial.serial});
  }
  AppendHashes(out, generation.sources);
  AppendHashes(out, generation.slurm);
  AppendSaved(out, generation.frame);
}

Hash ReadHash(StateReader& reader) {
  Hash hash{};
  const std::string_view bytes = reader.Text();
  if (bytes.size() != hash.size()) {
    reader.broken = true;
  } else {
    std::copy(bytes.begin(), bytes.end(), hash.begin());
  }
  return hash;
}

std::vector<NamedHash> ReadHashes(StateReader& reader) {
  std::vector<NamedHash> hashes;
  const std::uint64_t count = reader.Number();
  if (count > kMostItems) reader.broken = true;
  for (std::uint64_t i = 0; i < count && !reader.broken; ++i) {
    NamedHash& one = hashes.emplace_back();
    one.name = reader.Text();
    one.sha256 = ReadHash(reader);
  }
  return hashes;
}

Generation ReadGeneration(StateReader& reader) {
  Generation generation;
  generation.number = reader.Number();
  generation.activated = reader.Number();
  Counts& counts = generation.counts;
  for (std::size_t* const number :
       {&counts.vrps4, &counts.vrps6, &counts.router_keys, &counts.aspas, &generation.announced, &generation.withdrawn})
    *number = reader.Number();
  generation.sha256 = ReadHash(reader);
  for (Serial& serial : generation.serials) {
    serial.session = static_cast<std::uint16_t>(reader.Number());
    serial.serial = static_cast<std::uint32_t>(reader.Number());
  }
  generation.sources = ReadHashes(reader);
  generation.slurm = ReadHashes(reader);
  generation.frame = reader.Text();
  return generation;
}

}  // namespace

std::string BuildSavedCache(std::uint64_t last_number, const std::deque<Generation>& generations,
                            std::string_view history) {
  std::string out(kMagic);
  AppendSaved(out, last_number);
  AppendSaved(out, generations.size());
  for (const Generation& generation : generations) AppendGeneration(out, generation);
  AppendSaved(out, history);
  const Hash check = crypto::Sha256(out);
  out.append(BytesOf(check));
  return out;
}

absl::StatusOr<SavedCache> ParseSavedCache(std::string_view state) {
  constexpr std::size_t kCheck = sizeof(Hash);
  if (state.size() < kMagic.size() + kCheck || !state.starts_with(kMagic))
    return absl::DataLossError("the state file is none of this version of the bridge");
  const std::string_view body = state.substr(0, state.size() - kCheck);
  if (BytesOf(crypto::Sha256(body)) != state.substr(body.size()))
    return absl::DataLossError("the state file is damaged: its checksum is wrong");
  StateReader reader{body.substr(kMagic.size())};
  SavedCache saved;
  saved.last_number = reader.Number();
  const std::uint64_t count = reader.Number();
  if (count > kMostItems) reader.broken = true;
  for (std::uint64_t i = 0; i < count && !reader.broken; ++i) saved.generations.push_back(ReadGeneration(reader));
  saved.history = reader.Text();
  if (reader.broken || !reader.left.empty()) return absl::DataLossError("the state file is damaged");
  return saved;
}

}  // namespace virp::rtr_bridge
