#include "services/rtr-bridge/transport/source_reader.h"

#include <malloc.h>

#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/file_watch.h"
#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/crypto/sha256.h"
#include "lib/http/fetch.h"
#include "lib/vrp/json.h"
#include "lib/vrp/signature.h"

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kSecond = 1'000'000'000;
constexpr std::size_t kMaxSignature = 64 << 10;
constexpr std::chrono::seconds kFileLook{1};

// What a document is read with, wherever it comes from.
class Decoder {
 public:
  Decoder(const SourceOptions& options, std::shared_ptr<const vrp::SourceKey> key, const Clock& clock)
      : options_(options), key_(std::move(key)), clock_(clock) {}

  absl::StatusOr<std::optional<Reading>> Decode(std::string text, std::string_view signature) {
    const Hash hash = crypto::Sha256(text);
    if (last_ == hash) return std::nullopt;
    ASSIGN_OR_RETURN(Reading reading, Fresh(std::move(text), signature));
    reading.sha256 = hash;
    last_ = hash;
    // The text and what it took to sort it are gone now; on a busy heap they would stay with the process.
    ::malloc_trim(0);
    return reading;
  }
  bool needs_signature() const { return key_ != nullptr && !options_.embedded_signature; }
  const SourceOptions& options() const { return options_; }

 private:
  absl::StatusOr<Reading> Fresh(std::string text, std::string_view signature) {
    Reading reading;
    if (key_ != nullptr) {
      const absl::Status good =
          options_.embedded_signature ? key_->VerifyEmbedded(text) : key_->VerifyDetached(text, signature);
      if (!good.ok()) return WithReason(Unauthenticated("{}", Message(good)), "BAD_SIGNATURE");
      reading.signature_verified = true;
    }
    vrp::JsonOptions how;
    how.max_bytes = options_.max_bytes;
    how.skip_bad_records = options_.skip_bad_records;
    ASSIGN_OR_RETURN(vrp::Document document, vrp::DecodeJson(text, how));
    RETURN_IF_ERROR(CheckAge(document));
    if (document.generated && *document.generated >= 0)
      reading.built = static_cast<UnixNanos>(*document.generated) * kSecond;
    reading.payloads = std::make_shared<const vrp::Payloads>(std::move(document.payloads));
    return reading;
  }

  absl::Status CheckAge(const vrp::Document& document) const {
    if (!options_.max_age) return absl::OkStatus();
    if (!document.generated) {
      return WithReason(
          FailedPrecondition("the document does not say when it was made (metadata.buildtime or generated); "
                             "allow that with max_age 0 for the source"),
          "NO_AGE");
    }
    const auto now = static_cast<std::int64_t>(clock_.NowNanos() / kSecond);
    const std::int64_t age = now - *document.generated;
    if (std::chrono::seconds(age) <= *options_.max_age) return absl::OkStatus();
    return WithReason(FailedPrecondition("the document was made {} ago, more than the {} of max_age",
                                         FormatDuration(std::chrono::seconds(age)), FormatDuration(*options_.max_age)),
                      "TOO_OLD");
  }

  const SourceOptions options_;
  const std::shared_ptr<const vrp::SourceKey> key_;
  const Clock& clock_;
  std::optional<Hash> last_;
};

class FileReader final : public SourceReader {
 public:
  FileReader(Decoder decoder, const Clock& clock)
      : decoder_(std::move(decoder)), watch_({decoder_.options().location}, kFileLook, clock) {}

  absl::StatusOr<std::optional<Reading>> Read(const std::atomic<bool>&) override {
    const SourceOptions& options = decoder_.options();
    ASSIGN_OR_RETURN(std::string text, ReadFile(options.location, options.max_bytes));
    std::string signature;
    if (decoder_.needs_signature()) {
      const std::string& at = options.signature;
      ASSIGN_OR_RETURN(signature, ReadFile(at.empty() ? options.location + ".sig" : at, kMaxSignature));
    }
    return decoder_.Decode(std::move(text), signature);
  }
  bool Changed() override { return watch_.Changed(); }

 private:
  Decoder decoder_;
  FileWatch watch_;
};

class HttpReader final : public SourceReader {
 public:
  HttpReader(Decoder decoder, std::unique_ptr<http::HttpFetch> data, std::unique_ptr<http::HttpFetch> signature)
      : decoder_(std::move(decoder)), data_(std::move(data)), signature_(std::move(signature)) {}

  absl::StatusOr<std::optional<Reading>> Read(const std::atomic<bool>& stop) override {
    ASSIGN_OR_RETURN(http::Fetched fetched, data_->Get(stop));
    if (!fetched.changed) return std::nullopt;
    std::string signature;
    if (decoder_.needs_signature()) {
      ASSIGN_OR_RETURN(http::Fetched signed_by, signature_->Get(stop));
      signature = std::move(signed_by.body);
    }
    ASSIGN_OR_RETURN(auto reading, decoder_.Decode(std::move(fetched.body), signature));
    data_->Keep();  // only what is in use may be answered with "not modified"
    return reading;
  }

 private:
  Decoder decoder_;
  const std::unique_ptr<http::HttpFetch> data_, signature_;
};

absl::StatusOr<std::unique_ptr<http::HttpFetch>> FetchOf(const SourceOptions& options, const std::string& url) {
  http::HttpFetchOptions fetch;
  fetch.user_agent = "virp-rtr-bridge";
  fetch.url = url;
  fetch.roots = options.roots;
  fetch.max_bytes = options.max_bytes;
  return http::HttpFetch::Make(std::move(fetch));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SourceReader>> MakeReader(const SourceOptions& options, const Clock& clock) {
  std::shared_ptr<const vrp::SourceKey> key;
  if (!options.signature_key.empty()) {
    ASSIGN_OR_RETURN(const std::string pem, ReadFile(options.signature_key, kMaxSignature));
    ASSIGN_OR_RETURN(vrp::SourceKey read, vrp::SourceKey::FromPem(pem));
    key = std::make_shared<const vrp::SourceKey>(std::move(read));
  }
  Decoder decoder(options, std::move(key), clock);
  if (options.kind == SourceKind::kFile) return std::make_unique<FileReader>(std::move(decoder), clock);
  ASSIGN_OR_RETURN(auto data, FetchOf(options, options.location));
  const std::string& at = options.signature;
  ASSIGN_OR_RETURN(auto signature, FetchOf(options, at.empty() ? options.location + ".sig" : at));
  return std::make_unique<HttpReader>(std::move(decoder), std::move(data), std::move(signature));
}

}  // namespace virp::rtr_bridge
