#include "services/rtr-bridge/transport/source_reader.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>
#include <vector>

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
constexpr UnixNanos kAhead = 3'600 * kSecond;  // that a producer's clock may be
constexpr std::size_t kMaxSignature = 64 << 10;
constexpr std::chrono::seconds kFileLook{1};
constexpr std::string_view kBadSignature = "BAD_SIGNATURE";

// A file piece by piece, and the hash of what was read of it.
class FileInput final : public vrp::TextInput {
 public:
  static absl::StatusOr<std::unique_ptr<FileInput>> Open(const std::string& path, std::size_t limit) {
    ASSIGN_OR_RETURN(FileDescriptor file, OpenFile(path, O_RDONLY));
    return std::make_unique<FileInput>(std::move(file), path, limit);
  }
  FileInput(FileDescriptor file, std::string path, std::size_t limit)
      : file_(std::move(file)), path_(std::move(path)), limit_(limit) {}

  absl::StatusOr<std::size_t> Read(std::span<char> into) override {
    ssize_t got = 0;
    do got = ::read(file_.get(), into.data(), into.size());
    while (got < 0 && errno == EINTR);
    if (got < 0) return ErrnoStatus(errno, "cannot read", path_);
    const auto bytes = static_cast<std::size_t>(got);
    if (bytes > limit_ - read_) return ResourceExhausted("{} has more than {} bytes", path_, limit_);
    read_ += bytes;
    hash_.Add({into.data(), bytes});
    return bytes;
  }
  // What the file system says; 0 when it does not.
  std::size_t size() const {
    struct stat about{};
    return ::fstat(file_.get(), &about) == 0 && about.st_size > 0 ? static_cast<std::size_t>(about.st_size) : 0;
  }
  Hash hash() { return hash_.End(); }  // once, at the end

 private:
  const FileDescriptor file_;
  const std::string path_;
  const std::size_t limit_;
  std::size_t read_ = 0;
  crypto::Sha256Stream hash_;
};

// What a document is read with, wherever it comes from.
class Decoder {
 public:
  Decoder(const SourceOptions& options, std::vector<vrp::SourceKey> keys, const Clock& clock)
      : options_(options), keys_(std::move(keys)), clock_(clock) {}

  absl::StatusOr<std::optional<Reading>> Decode(std::string text, std::string_view signature) {
    const Hash hash = crypto::Sha256(text);
    if (last_ == hash) return Unchanged();
    const bool is_signed = !keys_.empty();
    if (is_signed) RETURN_IF_ERROR(Verify(text, signature));
    ASSIGN_OR_RETURN(vrp::Document document, vrp::DecodeJson(text, HowToRead()));
    return Take(std::move(document), hash, is_signed);
  }
  // Of a file that need not be signed: it is never in memory as a whole.
  absl::StatusOr<std::optional<Reading>> Decode(FileInput& file) {
    auto document = vrp::DecodeJson(file, file.size(), HowToRead());
    RETURN_IF_ERROR(document.status());
    const Hash hash = file.hash();
    if (last_ == hash) return Unchanged();
    return Take(*std::move(document), hash, /*is_signed=*/false);
  }
  // The document of the last good reading. Its producer may have stopped: it grows too old all the same.
  absl::StatusOr<std::optional<Reading>> Unchanged() const {
    RETURN_IF_ERROR(CheckAge(last_built_, last_valid_));
    return std::nullopt;
  }
  bool is_signed() const { return !keys_.empty(); }
  bool needs_signature() const { return is_signed() && !options_.embedded_signature; }
  const SourceOptions& options() const { return options_; }

 private:
  vrp::JsonOptions HowToRead() const {
    vrp::JsonOptions how;
    how.max_bytes = options_.max_bytes;
    how.skip_bad_records = options_.skip_bad_records;
    return how;
  }

  absl::StatusOr<std::optional<Reading>> Take(vrp::Document document, const Hash& hash, bool is_signed) {
    Reading reading;
    reading.signature_verified = is_signed;
    if (document.generated && *document.generated >= 0) reading.built = NanosOf(*document.generated);
    RETURN_IF_ERROR(CheckAge(reading.built, document.valid));
    reading.left_out = document.bad;
    reading.problems = std::move(document.problems);
    reading.payloads = std::make_shared<const vrp::Payloads>(std::move(document.payloads));
    reading.sha256 = hash;
    last_ = hash;
    last_built_ = reading.built;
    last_valid_ = document.valid;
    // What it took to read and to sort it is gone now; on a busy heap it would stay with the process.
    ::malloc_trim(0);
    return reading;
  }

  // Any of the keys will do.
  absl::Status Verify(std::string_view text, std::string_view signature) const {
    absl::Status last;
    for (const vrp::SourceKey& key : keys_) {
      last = options_.embedded_signature ? key.VerifyEmbedded(text) : key.VerifyDetached(text, signature);
      if (last.ok()) return last;
    }
    return WithReason(Unauthenticated("{}", Message(last)), kBadSignature);
  }

  static UnixNanos NanosOf(std::int64_t seconds) {
    return std::min(static_cast<UnixNanos>(seconds), std::numeric_limits<UnixNanos>::max() / kSecond) * kSecond;
  }

  absl::Status CheckAge(const std::optional<UnixNanos>& built, const std::optional<std::int64_t>& valid) const {
    if (!options_.max_age) return absl::OkStatus();
    if (valid && *valid > 0 && NanosOf(*valid) < clock_.NowNanos()) {
      return WithReason(FailedPrecondition("the document says that it was valid until {}, seconds since 1970", *valid),
                        "TOO_OLD");
    }
    if (!built) {
      return WithReason(
          FailedPrecondition("the document does not say when it was made (metadata.buildtime or generated); "
                             "allow that with max_age 0 for the source"),
          "TOO_OLD");
    }
    return rtr_bridge::CheckAge(options_, *built, clock_.NowNanos());
  }

  const SourceOptions options_;
  const std::vector<vrp::SourceKey> keys_;
  const Clock& clock_;
  std::optional<Hash> last_;
  std::optional<UnixNanos> last_built_;
  std::optional<std::int64_t> last_valid_;
};

// Where the detached signature is.
std::string SignatureOf(const SourceOptions& options) {
  return options.signature.empty() ? options.location + ".sig" : options.signature;
}

class FileReader final : public SourceReader {
 public:
  FileReader(Decoder decoder, const Clock& clock) : decoder_(std::move(decoder)), clock_(clock) { Watch(); }

  absl::StatusOr<std::optional<Reading>> Read(const std::atomic<bool>&) override {
    Watch();  // what is read now is no news later
    const SourceOptions& options = decoder_.options();
    if (!decoder_.is_signed()) {
      ASSIGN_OR_RETURN(const auto file, FileInput::Open(options.location, options.max_bytes));
      return decoder_.Decode(*file);
    }
    ASSIGN_OR_RETURN(std::string text, ReadFile(options.location, options.max_bytes));
    std::string signature;
    if (decoder_.needs_signature()) {
      ASSIGN_OR_RETURN(signature, ReadFile(SignatureOf(options), kMaxSignature));
    }
    return decoder_.Decode(std::move(text), signature);
  }
  bool Changed() override { return watch_->Changed(); }

 private:
  void Watch() { watch_.emplace(FilesOf(decoder_), kFileLook, clock_); }
  static std::vector<std::string> FilesOf(const Decoder& decoder) {
    std::vector<std::string> files{decoder.options().location};
    if (decoder.needs_signature()) files.push_back(SignatureOf(decoder.options()));
    return files;
  }

  Decoder decoder_;
  const Clock& clock_;
  std::optional<FileWatch> watch_;
};

class HttpReader final : public SourceReader {
 public:
  HttpReader(Decoder decoder, std::unique_ptr<http::HttpFetch> data, std::unique_ptr<http::HttpFetch> signature)
      : decoder_(std::move(decoder)), data_(std::move(data)), signature_(std::move(signature)) {}

  absl::StatusOr<std::optional<Reading>> Read(const std::atomic<bool>& stop) override {
    auto read = ReadOnce(stop);
    // Between the document and its signature the server may have replaced both.
    if (!read.ok() && GetReason(read.status()) == kBadSignature) read = ReadOnce(stop);
    return read;
  }

 private:
  absl::StatusOr<std::optional<Reading>> ReadOnce(const std::atomic<bool>& stop) {
    ASSIGN_OR_RETURN(http::Fetched fetched, data_->Get(stop));
    if (!fetched.changed) return decoder_.Unchanged();
    std::string signature;
    if (decoder_.needs_signature()) {
      ASSIGN_OR_RETURN(http::Fetched signed_by, signature_->Get(stop));
      signature = std::move(signed_by.body);
    }
    ASSIGN_OR_RETURN(auto reading, decoder_.Decode(std::move(fetched.body), signature));
    data_->Keep();  // only what is in use may be answered with "not modified"
    return reading;
  }

  Decoder decoder_;
  const std::unique_ptr<http::HttpFetch> data_, signature_;
};

absl::StatusOr<std::unique_ptr<http::HttpFetch>> FetchOf(const SourceOptions& options, const std::string& url,
                                                         std::size_t max_bytes) {
  http::HttpFetchOptions fetch;
  fetch.user_agent = "virp-rtr-bridge";
  fetch.url = url;
  fetch.roots = options.roots;
  fetch.max_bytes = max_bytes;
  return http::HttpFetch::Make(std::move(fetch));
}

}  // namespace

absl::Status CheckAge(const SourceOptions& options, UnixNanos built, UnixNanos now) {
  if (!options.max_age) return absl::OkStatus();
  if (built > now && built - now > kAhead) {
    return WithReason(FailedPrecondition("the data are said to have been made at {}, seconds since 1970, more than an "
                                         "hour from now: a clock is wrong",
                                         built / kSecond),
                      "TOO_OLD");
  }
  const std::chrono::nanoseconds age(now > built ? now - built : 0);
  if (age <= *options.max_age) return absl::OkStatus();
  return WithReason(FailedPrecondition("the data were made {} ago, more than the {} of max_age",
                                       FormatDuration(std::chrono::floor<std::chrono::seconds>(age)),
                                       FormatDuration(*options.max_age)),
                    "TOO_OLD");
}

absl::StatusOr<std::unique_ptr<SourceReader>> MakeReader(const SourceOptions& options, const Clock& clock) {
  std::vector<vrp::SourceKey> keys;
  if (!options.signature_key.empty()) {
    ASSIGN_OR_RETURN(const std::string pem, ReadFile(options.signature_key, kMaxSignature));
    auto read = vrp::SourceKey::ListFromPem(pem);
    if (!read.ok()) return Annotate(read.status(), options.signature_key);
    keys = *std::move(read);
  }
  Decoder decoder(options, std::move(keys), clock);
  if (options.kind == SourceKind::kFile) return std::make_unique<FileReader>(std::move(decoder), clock);
  ASSIGN_OR_RETURN(auto data, FetchOf(options, options.location, options.max_bytes));
  ASSIGN_OR_RETURN(auto signature, FetchOf(options, SignatureOf(options), kMaxSignature));
  return std::make_unique<HttpReader>(std::move(decoder), std::move(data), std::move(signature));
}

}  // namespace virp::rtr_bridge
