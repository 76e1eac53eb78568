// SLURM files. Input: up to four files, NUL between them. What is taken is applied, and each payload that is left is
// one that no filter takes, or is asserted.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lib/vrp/builder.h"
#include "lib/vrp/set.h"
#include "lib/vrp/slurm.h"
#include "tests/fuzz/require.h"

using namespace virp::vrp;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

const Payloads& Table() {
  static const Payloads table = [] {
    Builder builder;
    for (const char* prefix :
         {"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "192.0.2.0/24", "198.51.100.0/24",
          "255.255.255.255/32", "::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:2::/64", "ffff::/16"}) {
      for (const std::uint32_t as : {0U, 1U, 64496U, 64497U, UINT32_MAX})
        (void)builder.Add(*virp::Prefix::Parse(prefix), 32, as);
    }
    for (const std::uint32_t as : {1U, 64496U, 64497U}) (void)builder.Add(Aspa{as, 0, {1, 2, 3}});
    return std::move(builder).Build().payloads;
  }();
  return table;
}

template <typename Vrp>
void Filtered(const Slurm& slurm, const std::vector<Vrp>& before, const std::vector<Vrp>& asserted,
              const std::vector<Vrp>& after) {
  const auto has = [](const std::vector<Vrp>& all, const Vrp& v) {
    return std::any_of(all.begin(), all.end(), [&](const Vrp& other) { return Order(v, other) == 0; });
  };
  for (const Vrp& v : before) {
    const bool taken =
        std::any_of(slurm.prefix_filters.begin(), slurm.prefix_filters.end(), [&](const PrefixFilter& f) {
          return (!f.prefix || f.prefix->Contains(PrefixOf(v))) && (!f.as || *f.as == v.as);
        });
    REQUIRE(has(after, v) == (!taken || has(asserted, v)));
  }
  for (const Vrp& v : asserted) REQUIRE(has(after, v));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<SlurmText> files;
  while (files.size() < 4) {
    const auto end = rest.find('\0');
    files.push_back({std::to_string(files.size()), rest.substr(0, end)});
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  const auto slurm = ParseSlurm(files);
  if (!slurm.ok()) return 0;
  for (const SlurmText& file : files) {
    REQUIRE(nlohmann::json::accept(file.text));
    REQUIRE(ParseSlurm({&file, 1}).ok());
  }
  const Applied applied = Apply(*slurm, Table());
  Filtered(*slurm, Table().vrps4, slurm->assertions.vrps4, applied.payloads.vrps4);
  Filtered(*slurm, Table().vrps6, slurm->assertions.vrps6, applied.payloads.vrps6);
  for (const std::uint32_t customer : slurm->aspa_filters) {
    const auto is = [customer](const Aspa& a) { return a.customer == customer; };
    REQUIRE(std::any_of(applied.payloads.aspas.begin(), applied.payloads.aspas.end(), is) ==
            std::any_of(slurm->assertions.aspas.begin(), slurm->assertions.aspas.end(), is));
  }
  // Again it changes nothing that is not asserted anyhow.
  REQUIRE(HashOf(Apply(*slurm, applied.payloads).payloads) == HashOf(applied.payloads));
  return 0;
}
