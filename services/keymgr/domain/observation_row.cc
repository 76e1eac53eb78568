// An observation key as a row of the database. Names and numbers of the body are kept for ever.
#include <algorithm>
#include <array>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/observation_key.h"

namespace virp::keymgr {
namespace {

using frame::JsonWriter;
using frame::Value;

constexpr std::uint64_t kFormat = 1;

void WriteTime(JsonWriter& json, std::string_view name, const std::optional<UnixNanos>& time) {
  if (time) json.Field(name, *time);
}

void WriteText(JsonWriter& json, std::string_view name, std::string_view text) {
  if (!text.empty()) json.Field(name, text);
}

void WriteList(JsonWriter& json, std::string_view name, const std::vector<std::string>& list) {
  if (list.empty()) return;
  json.Key(name).BeginArray();
  for (const std::string& one : list) json.String(one);
  json.EndArray();
}

void WriteVersion(JsonWriter& json, const ObservationVersion& version) {
  json.BeginObject().Field("version", version.version).Field("algorithm", AlgorithmName(version.algorithm));
  json.Field("state", ObservationStateName(version.state));
  WriteText(json, "public_key", HexEncode(version.public_half));
  WriteText(json, "commitment", HexEncode(version.commitment));
  json.Field("accept_from_ns", version.accept_from);
  WriteTime(json, "activated_ns", version.activated);
  WriteTime(json, "sign_until_ns", version.sign_until);
  WriteTime(json, "accept_until_ns", version.accept_until);
  WriteTime(json, "compromised_since_ns", version.compromised_since);
  WriteTime(json, "revoked_ns", version.revoked);
  WriteText(json, "made_by", version.made_by);
  WriteText(json, "wanted_by", version.wanted_by);
  WriteText(json, "approved_by", version.approved_by);
  WriteText(json, "succession", HexEncode(version.succession));
  if (!version.known_by.empty()) {
    json.Key("known_by").BeginArray();
    for (const Sighting& seen : version.known_by) {
      json.BeginObject().Field("identity", seen.identity).Field("entry", seen.entry).Field("at_ns", seen.at);
      json.Field("compromised", seen.compromised).EndObject();
    }
    json.EndArray();
  }
  WriteList(json, "released_to", version.released_to);
  json.EndObject();
}

// Reads members and remembers the first that does not fit.
class Reader {
 public:
  explicit Reader(Value object) : object_(object) {}
  const absl::Status& status() const { return status_; }

  std::string Text(std::string_view name) {
    const Value value = object_[name];
    if (!value.present()) return "";
    const auto text = value.AsString();
    if (!text) Fail(name);
    return std::string(text.value_or(""));
  }
  std::uint64_t Number(std::string_view name) {
    const auto number = object_[name].AsUnsigned();
    if (!number) Fail(name);
    return number.value_or(0);
  }
  bool Flag(std::string_view name) {
    const auto flag = object_[name].AsBool();
    if (!flag) Fail(name);
    return flag.value_or(false);
  }
  std::optional<UnixNanos> Time(std::string_view name) {
    if (!object_[name].present()) return std::nullopt;
    return Number(name);
  }
  std::string Bytes(std::string_view name) {
    auto bytes = HexDecode(Text(name));
    if (bytes.ok()) return *std::move(bytes);
    Fail(name);
    return "";
  }
  std::vector<std::string> List(std::string_view name) {
    std::vector<std::string> out;
    for (const Value::Member& member : object_[name].members()) {
      const auto text = member.value.AsString();
      if (!text) Fail(name);
      out.emplace_back(text.value_or(""));
    }
    return out;
  }
  template <typename Enum>
  Enum OneOf(std::string_view name, std::initializer_list<Enum> values, std::string_view (*name_of)(Enum)) {
    const std::string text = Text(name);
    for (const Enum value : values) {
      if (name_of(value) == text) return value;
    }
    Fail(name);
    return *values.begin();
  }
  Value operator[](std::string_view name) const { return object_[name]; }
  void Fail(std::string_view name) {
    if (status_.ok()) status_ = InvalidArgument("{} is missing or not what it should be", name);
  }

 private:
  const Value object_;
  absl::Status status_;
};

absl::StatusOr<ObservationVersion> ReadVersion(Value object) {
  Reader reader(object);
  ObservationVersion out;
  out.version = static_cast<std::uint32_t>(std::min<std::uint64_t>(reader.Number("version"), 0xffff'ffff));
  out.algorithm = reader.OneOf("algorithm", {Algorithm::kEd25519, Algorithm::kHmacSha256}, AlgorithmName);
  using State = ObservationState;
  out.state = reader.OneOf(
      "state", {State::kPending, State::kPrepared, State::kActive, State::kRetired, State::kTainted, State::kRevoked},
      ObservationStateName);
  out.public_half = reader.Bytes("public_key");
  out.commitment = reader.Bytes("commitment");
  out.accept_from = reader.Number("accept_from_ns");
  out.activated = reader.Time("activated_ns");
  out.sign_until = reader.Time("sign_until_ns");
  out.accept_until = reader.Time("accept_until_ns");
  out.compromised_since = reader.Time("compromised_since_ns");
  out.revoked = reader.Time("revoked_ns");
  out.made_by = reader.Text("made_by");
  out.wanted_by = reader.Text("wanted_by");
  out.approved_by = reader.Text("approved_by");
  out.succession = reader.Bytes("succession");
  for (const Value::Member& member : reader["known_by"].members()) {
    Reader seen(member.value);
    out.known_by.push_back(
        {seen.Text("identity"), seen.Number("entry"), seen.Number("at_ns"), seen.Flag("compromised")});
    RETURN_IF_ERROR(Annotate(seen.status(), "known_by"));
  }
  out.released_to = reader.List("released_to");
  if (out.version == 0) reader.Fail("version");
  RETURN_IF_ERROR(reader.status());
  return out;
}

}  // namespace

std::string_view ConsumerFormName(ConsumerForm form) {
  switch (form) {
    case ConsumerForm::kPlatform:
      return "PLATFORM";
    case ConsumerForm::kHexText:
      return "HEX_TEXT";
    case ConsumerForm::kRaw:
      return "RAW";
  }
  return "?";
}

std::optional<ConsumerForm> ConsumerFormFromName(std::string_view name) {
  for (const ConsumerForm form : {ConsumerForm::kPlatform, ConsumerForm::kHexText, ConsumerForm::kRaw}) {
    if (ConsumerFormName(form) == name) return form;
  }
  return std::nullopt;
}

Row ObservationKey::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = source;
  for (const ObservationVersion& version : versions) {
    // Of most interest is what signs; else the newest.
    if (version.state == ObservationState::kActive || Active() == nullptr)
      row.state = ObservationStateName(version.state);
    const bool ends = version.state == ObservationState::kRetired && version.accept_until;
    if (ends) row.due = std::min(row.due.value_or(*version.accept_until), *version.accept_until);
  }
  JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("form", ConsumerFormName(form));
  json.Field("first_version", first_version).Field("activated", activated);
  WriteTime(json, "files_sign_until_ns", files_sign_until);
  WriteTime(json, "files_accept_until_ns", files_accept_until);
  if (wanted != 0) json.Field("wanted", wanted).Field("wanted_by", wanted_by);
  WriteList(json, "signers", signers);
  WriteList(json, "carriers", carriers);
  json.Key("versions").BeginArray();
  for (const ObservationVersion& version : versions) WriteVersion(json, version);
  row.body = json.EndArray().EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> ObservationKey::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const Value body, payloads.Read(row.body));
  Reader reader(body);
  if (reader.Number("format") != kFormat) return InvalidArgument("written by a later version of the key manager");
  auto out = std::make_shared<ObservationKey>();
  out->source = row.id;
  out->form =
      reader.OneOf("form", {ConsumerForm::kPlatform, ConsumerForm::kHexText, ConsumerForm::kRaw}, ConsumerFormName);
  out->first_version = static_cast<std::uint32_t>(std::min<std::uint64_t>(reader.Number("first_version"), 0xffff'ffff));
  out->activated = reader.Flag("activated");
  if (body["wanted"].present())
    out->wanted = static_cast<std::uint32_t>(std::min<std::uint64_t>(reader.Number("wanted"), 0xffff'ffff));
  out->wanted_by = reader.Text("wanted_by");
  out->files_sign_until = reader.Time("files_sign_until_ns");
  out->files_accept_until = reader.Time("files_accept_until_ns");
  out->signers = reader.List("signers");
  out->carriers = reader.List("carriers");
  for (const Value::Member& member : reader["versions"].members()) {
    ASSIGN_OR_RETURN(ObservationVersion version, ReadVersion(member.value));
    if (!out->versions.empty() && version.version <= out->versions.back().version) reader.Fail("versions");
    out->versions.push_back(std::move(version));
  }
  RETURN_IF_ERROR(reader.status());
  return std::shared_ptr<Record>(std::move(out));
}

}  // namespace virp::keymgr
