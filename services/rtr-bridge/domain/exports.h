// What is served, as documents for programs that speak no RTR: the whole set, its signature, changes. Each is made
// once, by the first who asks, and shared by all who do.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "services/rtr-bridge/domain/board.h"
#include "services/rtr-bridge/domain/cache.h"

namespace virp::rtr_bridge {

// A detached signature over the bytes, as vrp::SourceKey::VerifyDetached takes it. Thread-safe.
using SignDocument = std::function<absl::StatusOr<std::string>(std::string_view document)>;

using Document = std::shared_ptr<const std::string>;

struct DatedDocument {
  Document body;
  std::string etag;           // in quotes: SHA-256 of the body
  std::int64_t modified = 0;  // seconds since 1970; a later document has a later one
};

// Thread-safe. Who asks for a document that somebody else makes waits for it; other documents' readers do not.
class Exports {
 public:
  // How much older than what is served a document may say that it is: for as long it is not made anew for that alone.
  static constexpr std::chrono::seconds kRenew{600};

  // `name` is the bridge's, and may be empty. All outlive it; `sign` may be null. `most_delta_octets`: that changes
  // over more than one serial may take, all together.
  Exports(std::string name, const Board& board, const Cache& cache, SignDocument sign, const Clock& clock,
          std::size_t most_delta_octets = std::size_t{64} << 20)
      : name_(std::move(name)),
        board_(board),
        cache_(cache),
        sign_(std::move(sign)),
        clock_(clock),
        most_delta_octets_(most_delta_octets) {}

  // The served set in rpki-client's dialect (vrp::WriteJson), with `generated` as Cache::TrueAt. Unavailable with
  // reason NO_DATA while nothing is loaded; so do the others.
  absl::StatusOr<DatedDocument> Json();
  // Over the newest that Json gave, or would give. NotFound without `sign`, and its errors.
  absl::StatusOr<Document> Signature();
  // What changed since that serial of that session, as Routinator's json-delta has it; without them, when they are not
  // in the window, and when there is no room for more changes, the whole set. Sessions and serials are those of RTR
  // version 2.
  absl::StatusOr<Document> Delta(const std::optional<std::string>& session, std::uint32_t serial);

  // Frees what is of an earlier generation. From time to time: nobody may ask again for long.
  void Trim();

  // How a session of RTR is named here: replicas draw from 16 bits only, so their names are in it.
  std::string SessionName(std::uint16_t session) const;

 private:
  struct Whole {
    std::weak_ptr<const ServedView> of;
    UnixNanos true_at = 0;
    DatedDocument document;
    Document signature;
  };
  struct Deltas {
    std::string session;  // with `serial`: the state that they lead to
    std::uint32_t serial = 0;
    Document reset;
    std::map<std::uint32_t, Document> since;  // by serial; null: there was no room for it
    std::size_t octets = 0;                   // of those over more than one serial
  };
  absl::StatusOr<std::shared_ptr<const ServedView>> Serving() const;
  absl::Status MakeJson() ABSL_EXCLUSIVE_LOCKS_REQUIRED(json_mutex_);

  const std::string name_;
  const Board& board_;
  const Cache& cache_;
  const SignDocument sign_;
  const Clock& clock_;
  const std::size_t most_delta_octets_;
  Mutex json_mutex_, delta_mutex_;
  Whole json_ ABSL_GUARDED_BY(json_mutex_);
  Deltas deltas_ ABSL_GUARDED_BY(delta_mutex_);
};

}  // namespace virp::rtr_bridge
