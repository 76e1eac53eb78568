#include "lib/bmp/nlri.h"

#include "lib/base/status.h"

namespace virp::bmp {
namespace {

struct Reading {
  bool parses = true;   // every prefix lies within the field and has a possible length
  bool clean = true;    // and nothing is odd, see NlriForm::adaptive
  int bad_length = -1;  // the prefix length that cannot be, if that is why it does not parse
};

Reading Read(std::string_view field, IpFamily family, bool path_ids) {
  Reader reader(field);
  Reading out;
  int default_routes = 0;
  while (!reader.empty()) {
    std::uint32_t path_id = 0;
    std::uint8_t length = 0;
    std::string_view bytes;
    if ((path_ids && !reader.Read(path_id)) || !reader.Read(length)) return {false, false, -1};
    if (length > AddressBits(family)) return {false, false, length};
    if (!reader.Take((std::size_t{length} + 7) / 8, bytes)) return {false, false, -1};
    if (const int extra = length % 8; extra != 0 && (static_cast<std::uint8_t>(bytes.back()) & (0xff >> extra)) != 0) {
      out.clean = false;
    }
    if (length == 0 && !path_ids && ++default_routes > 1) out.clean = false;
  }
  return out;
}

}  // namespace

absl::Status CheckNlri(std::string_view field, IpFamily family, NlriForm& form, bool& changed) {
  const Reading expected = Read(field, family, form.path_ids);
  if (form.adaptive && !expected.clean && Read(field, family, !form.path_ids).clean) {
    form.path_ids = !form.path_ids;
    changed = true;
    return absl::OkStatus();
  }
  if (expected.parses) return absl::OkStatus();
  const auto how = form.path_ids ? "with path identifiers" : "without path identifiers";
  if (expected.bad_length >= 0) {
    return InvalidArgument("NLRI read {}: prefix length {} is above {}", how, expected.bad_length, AddressBits(family));
  }
  return InvalidArgument("NLRI read {}: a prefix runs over the end of its field", how);
}

}  // namespace virp::bmp
