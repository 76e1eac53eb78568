// The JSON of validators. Input: the document. What is read is written and read again to the same set; a strict reading
// and one that leaves out bad records agree where both succeed; another parser agrees on what is JSON; piece by piece
// it says the same.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lib/vrp/export.h"
#include "lib/vrp/json.h"
#include "lib/vrp/set.h"
#include "lib/vrp/signature.h"
#include "lib/vrp/validate.h"
#include "tests/fuzz/require.h"

using namespace virp::vrp;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

template <typename T>
void InOrder(const std::vector<T>& all) {
  for (std::size_t i = 1; i < all.size(); ++i) REQUIRE(Order(all[i - 1], all[i]) < 0);
}

void Check(const Document& document) {
  const Payloads& set = document.payloads;
  InOrder(set.vrps4);
  InOrder(set.vrps6);
  InOrder(set.router_keys);
  InOrder(set.aspas);
  REQUIRE(set.size() + document.duplicates + document.bad + document.expired <= document.records);
  const auto again = DecodeJson(WriteJson(set, {}));
  REQUIRE(again.ok());
  REQUIRE(HashOf(again->payloads) == HashOf(set));
  REQUIRE(NextExpiry(again->payloads) == NextExpiry(set));
  const auto shared = std::make_shared<const Payloads>(set);
  const RouteValidator validator(shared);
  for (const Vrp4& v : set.vrps4)
    REQUIRE(validator.Check(PrefixOf(v), v.as).state == (v.as == 0 ? RouteState::kInvalid : RouteState::kValid));
  for (const Vrp6& v : set.vrps6)
    REQUIRE(validator.Check(PrefixOf(v), v.as).state == (v.as == 0 ? RouteState::kInvalid : RouteState::kValid));
}

// Of sizes that vary.
class Pieces final : public TextInput {
 public:
  explicit Pieces(std::string_view text) : left_(text) {}
  absl::StatusOr<std::size_t> Read(std::span<char> into) override {
    size_ = size_ * 5 % 23;
    const std::size_t size = left_.copy(into.data(), std::min(into.size(), 1 + size_));
    left_.remove_prefix(size);
    return size;
  }

 private:
  std::string_view left_;
  std::size_t size_ = 1;
};

void CheckPieces(std::string_view text, const JsonOptions& options, const absl::StatusOr<Document>& whole) {
  Pieces pieces(text);
  const auto document = DecodeJson(pieces, text.size(), options, 24);
  REQUIRE(document.ok() == whole.ok());
  if (!whole.ok()) return;
  REQUIRE(HashOf(document->payloads) == HashOf(whole->payloads));
  REQUIRE(document->bad == whole->bad && document->problems == whole->problems && document->valid == whole->valid &&
          document->generated == whole->generated && document->records == whole->records);
}

const SourceKey& Key() {
  static const SourceKey key = *SourceKey::FromPem(
      "-----BEGIN PUBLIC "
      "KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/"
      "m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n");
  return key;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto strict = DecodeJson(text);
  const JsonOptions leniently{.now = 1'700'000'000, .skip_bad_records = true};
  const auto lenient = DecodeJson(text, leniently);
  CheckPieces(text, {}, strict);
  CheckPieces(text, leniently, lenient);
  if (strict.ok()) {
    REQUIRE(lenient.ok() && lenient->bad == 0);
    REQUIRE(HashOf(WithoutExpired(strict->payloads, 1'700'000'000)) == HashOf(lenient->payloads) ||
            !lenient->payloads.aspas.empty());
    Check(*strict);
  }
  if (lenient.ok()) {
    REQUIRE(nlohmann::json::accept(text));
    Check(*lenient);
  }
  REQUIRE(!Key().VerifyEmbedded(text).ok());
  REQUIRE(!Key().VerifyDetached("document", text).ok());
  return 0;
}
