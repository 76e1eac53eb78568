// Custody logs of preinstalled keys (RFC 8635 section 9(3)), as they came.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/record.h"
#include "services/keymgr/domain/row_reader.h"

namespace virp::keymgr {

inline constexpr std::size_t kMaxCustodyLog = std::size_t{128} << 10;

// Beside the router's slots, whose ids go on with a number only.
inline std::string CustodyLogId(std::string_view router, std::string_view sha256) {
  return fmt::format("{}/{}", router, HexEncode(sha256.substr(0, 16)));
}

struct CustodyLogRecord final : Record {
  static constexpr std::string_view kKind = "router_custody_log";

  std::string id;
  std::string router;
  std::string log;  // CMS SignedData whose signature was checked

  Row ToRow() const override {
    Row row;
    row.kind = kKind;
    row.id = id;
    row.parent = router;
    frame::JsonWriter json;
    json.BeginObject().Field("format", std::uint64_t{1}).Field("log", Base64Encode(log));
    row.body = json.EndObject().Take();
    return row;
  }
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row) {
    frame::PayloadReader payloads(kMaxBody);
    ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
    RowReader reader(body);
    reader.Format(1);
    auto out = std::make_shared<CustodyLogRecord>();
    out->id = row.id;
    out->router = row.parent;
    out->log = reader.Bytes("log");
    RETURN_IF_ERROR(reader.status());
    return std::shared_ptr<Record>(std::move(out));
  }
};

}  // namespace virp::keymgr
