#include "services/keymgr/domain/expiry_notice.h"

#include "lib/base/status.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

constexpr std::uint64_t kFormat = 1;
constexpr std::uint64_t kMostDays = 3'660;

}  // namespace

Row ExpiryNoticeRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = id;
  frame::JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("not_after_ns", not_after).Key("told").BeginObject();
  for (const auto& [recipient, days] : told) json.Field(recipient, days);
  json.EndObject();
  if (acknowledged) {
    json.Key("acknowledged").BeginObject().Field("days", acknowledged->days);
    json.Field("by", std::string_view(acknowledged->by)).Field("why", std::string_view(acknowledged->why));
    json.Field("at_ns", acknowledged->at).EndObject();
  }
  row.body = json.EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> ExpiryNoticeRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
  if (body["format"].AsUnsigned() != kFormat) return InvalidArgument("written by a later version of the key manager");
  auto out = std::make_shared<ExpiryNoticeRecord>();
  out->id = row.id;
  const auto end = body["not_after_ns"].AsUnsigned();
  if (!end.has_value()) return InvalidArgument("not_after_ns is missing or not what it should be");
  out->not_after = *end;
  for (const auto& [recipient, days] : body["told"].members()) {
    const auto number = days.AsUnsigned();
    if (!number.has_value() || *number > kMostDays) return InvalidArgument("told is not what it should be");
    out->told[std::string(recipient)] = static_cast<int>(*number);
  }
  if (const frame::Value seen = body["acknowledged"]; seen.size() != 0) {
    const auto days = seen["days"].AsUnsigned(), at = seen["at_ns"].AsUnsigned();
    const auto by = seen["by"].AsString(), why = seen["why"].AsString();
    if (!days || *days > kMostDays || !at || !by || !why)
      return InvalidArgument("acknowledged is not what it should be");
    out->acknowledged = Acknowledgement{static_cast<int>(*days), std::string(*by), std::string(*why), *at};
  }
  return std::shared_ptr<Record>(std::move(out));
}

}  // namespace virp::keymgr
