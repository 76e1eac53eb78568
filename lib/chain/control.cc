#include "lib/chain/control.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/names.h"
#include "lib/base/status.h"

namespace virp::chain {
namespace {

using frame::JsonWriter;
using frame::Value;

template <typename Enum>
struct Named {
  Enum value;
  std::string_view name;
};

constexpr Named<Vantage> kVantages[] = {
    {Vantage::kDaemon, "daemon"}, {Vantage::kBmp, "bmp"}, {Vantage::kDevice, "device"}, {Vantage::kService, "service"}};
constexpr Named<ChannelState> kChannelStates[] = {{ChannelState::kOk, "OK"},
                                                  {ChannelState::kAlarmed, "ALARMED"},
                                                  {ChannelState::kKeyMismatch, "KEY_MISMATCH"},
                                                  {ChannelState::kBlack, "BLACK"}};
constexpr Named<Gap::Why> kWhys[] = {
    {Gap::Why::kMissing, "MISSING"}, {Gap::Why::kOverflow, "OVERFLOW"}, {Gap::Why::kShutdown, "SHUTDOWN"}};
constexpr Named<SourceEvent::Event> kSourceEvents[] = {
    {SourceEvent::Event::kRegistered, "source_registered"},  {SourceEvent::Event::kChanged, "source_changed"},
    {SourceEvent::Event::kSuspended, "source_suspended"},    {SourceEvent::Event::kResumed, "source_resumed"},
    {SourceEvent::Event::kEpochReset, "source_epoch_reset"}, {SourceEvent::Event::kLateAdmitted, "late_admitted"}};
constexpr Named<KeyEvent::Event> kKeyEvents[] = {{KeyEvent::Event::kVersion, "key_version"},
                                                 {KeyEvent::Event::kCompromised, "key_compromised"},
                                                 {KeyEvent::Event::kWindow, "key_window"}};

template <typename Enum, std::size_t N>
std::string_view NameIn(const Named<Enum> (&table)[N], Enum value) {
  for (const auto& row : table) {
    if (row.value == value) return row.name;
  }
  return "?";
}

template <typename Enum, std::size_t N>
std::optional<Enum> ValueIn(const Named<Enum> (&table)[N], std::string_view name) {
  for (const auto& row : table) {
    if (row.name == name) return row.value;
  }
  return std::nullopt;
}

constexpr std::size_t kMaxCause = 64;

// Reads the keys of one object and remembers the first that is missing or wrong, so that a parser reads as a list of
// its keys and asks once, at the end.
class Fields {
 public:
  explicit Fields(const Value& object) : object_(object) {}

  void Text(std::string_view key, std::string& out) { Read(key, object_[key].AsString(), "a string", out); }
  void Flag(std::string_view key, bool& out) { Read(key, object_[key].AsBool(), "a boolean", out); }
  void Number(std::string_view key, std::uint64_t& out) {
    Read(key, object_[key].AsUnsigned(), "a non-negative integer", out);
  }
  template <typename T>
  void Number(std::string_view key, T& out, std::uint64_t lowest, std::uint64_t highest) {
    const auto value = object_[key].AsUnsigned();
    if (!value || *value < lowest || *value > highest) {
      return Fail(InvalidArgument("{}: wanted an integer from {} to {}", key, lowest, highest));
    }
    out = static_cast<T>(*value);
  }
  // Absent and null are both "none".
  void OptionalNumber(std::string_view key, std::optional<std::uint64_t>& out) {
    const Value value = object_[key];
    if (!value.present() || value.kind() == Value::Kind::kNull) return;
    std::uint64_t number = 0;
    Read(key, value.AsUnsigned(), "a non-negative integer or null", number);
    out = number;
  }
  void OptionalText(std::string_view key, std::string& out) {
    const Value value = object_[key];
    if (!value.present() || value.kind() == Value::Kind::kNull) return;
    Read(key, value.AsString(), "a string", out);
  }
  template <typename Enum, std::size_t N>
  void OneOf(std::string_view key, const Named<Enum> (&table)[N], Enum& out) {
    const auto text = object_[key].AsString();
    const auto value = text ? ValueIn(table, *text) : std::nullopt;
    if (!value) return Fail(InvalidArgument("{}: not one of the values of docs/formats/payloads.md", key));
    out = *value;
  }
  void Hex(std::string_view key, std::size_t bytes, std::string& out) {
    const auto text = object_[key].AsString();
    if (text && text->size() == 2 * bytes) {
      if (auto decoded = HexDecode(*text); decoded.ok()) {
        out = *std::move(decoded);
        return;
      }
    }
    Fail(InvalidArgument("{}: wanted {} hex characters", key, 2 * bytes));
  }
  void OptionalHex(std::string_view key, std::size_t bytes, std::string& out) {
    const Value value = object_[key];
    if (value.present() && value.kind() != Value::Kind::kNull) Hex(key, bytes, out);
  }
  void Texts(std::string_view key, std::vector<std::string>& out) {
    Each(key, [&](const Value& element) {
      const auto text = element.AsString();
      if (!text) return Fail(InvalidArgument("{}: wanted an array of strings", key));
      out.emplace_back(*text);
    });
  }
  template <typename F>
  void Each(std::string_view key, F&& each) {
    const Value array = object_[key];
    if (array.kind() != Value::Kind::kArray) return Fail(InvalidArgument("{}: wanted an array", key));
    for (std::size_t i = 0, n = array.size(); i < n && status_.ok(); ++i) each(array.at(i));
  }
  void Source(std::string& out) {
    Text("source", out);
    if (status_.ok()) Fail(Annotate(CheckOrigin(out), "source"));
  }
  void Operator(std::string& by, std::string& reason, std::string& request_id) {
    OptionalText("by", by);
    OptionalText("reason", reason);
    OptionalText("request_id", request_id);
  }

  // Keeps the first failure.
  void Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  const absl::Status& status() const { return status_; }

 private:
  template <typename From, typename To>
  void Read(std::string_view key, const std::optional<From>& value, std::string_view wanted, To& out) {
    if (!value) return Fail(InvalidArgument("{}: wanted {}", key, wanted));
    out = To(*value);
  }

  Value object_;
  absl::Status status_;
};

void ReadKey(Fields& fields, KeyStatement& key) {
  fields.Number("suite", key.suite, 1, 2);
  fields.Number("key_version", key.version, 1, 0xffff'ffff);
  if (key.suite == frame::Suite::kEd25519) {
    fields.Hex("public_key", 32, key.public_key);
  } else {
    fields.Hex("key_commitment", 32, key.commitment);
  }
  fields.Number("accept_from_ns", key.accept_from);
  fields.OptionalNumber("accept_until_ns", key.accept_until);
}

void WriteOptional(JsonWriter& json, std::string_view key, const std::optional<std::uint64_t>& value) {
  json.Key(key);
  if (value) {
    json.Unsigned(*value);
  } else {
    json.Null();
  }
}

void WriteKey(JsonWriter& json, const KeyStatement& key) {
  json.Field("suite", static_cast<std::uint64_t>(key.suite)).Field("key_version", std::uint64_t{key.version});
  if (key.suite == frame::Suite::kEd25519) {
    json.Field("public_key", HexEncode(key.public_key));
  } else {
    json.Field("key_commitment", HexEncode(key.commitment));
  }
  json.Field("accept_from_ns", key.accept_from);
  WriteOptional(json, "accept_until_ns", key.accept_until);
}

void WriteTexts(JsonWriter& json, std::string_view key, const std::vector<std::string>& texts) {
  json.Key(key).BeginArray();
  for (const auto& text : texts) json.String(text);
  json.EndArray();
}

void WriteOperator(JsonWriter& json, std::string_view by, std::string_view reason, std::string_view request_id) {
  if (!by.empty()) json.Field("by", by);
  if (!reason.empty()) json.Field("reason", reason);
  if (!request_id.empty()) json.Field("request_id", request_id);
}

JsonWriter Begin(std::string_view event) {
  JsonWriter json;
  json.BeginObject().Field("domain", "virp").Field("event", event);
  return json;
}

absl::StatusOr<Registration> ReadRegistration(const Value& payload) {
  Registration out;
  Fields fields(payload);
  fields.Source(out.source);
  ReadKey(fields, out.key);
  fields.Number("min_frame_version", out.min_frame_version, 1, 2);
  fields.OneOf("vantage", kVantages, out.vantage);
  fields.Each("types", [&](const Value& type) {
    const auto number = type.AsUnsigned();
    if (!number || *number < 1 || *number > 255)
      return fields.Fail(InvalidArgument("types: wanted integers from 1 to 255"));
    out.types.push_back(static_cast<std::uint8_t>(*number));
  });
  fields.Each("routers", [&](const Value& router) {
    Fields inner(router);
    RouterScope scope;
    inner.Text("name", scope.name);
    inner.Texts("bgp_ids", scope.bgp_ids);
    inner.Texts("addresses", scope.addresses);
    inner.Texts("vrfs", scope.vrfs);
    fields.Fail(Annotate(inner.status(), "routers"));
    out.routers.push_back(std::move(scope));
  });
  if (payload["subject_prefixes"].present()) fields.Texts("subject_prefixes", out.subject_prefixes);
  fields.Texts("carried_by", out.carried_by);
  RETURN_IF_ERROR(fields.status());
  return out;
}

}  // namespace

std::string_view VantageName(Vantage vantage) {
  return NameIn(kVantages, vantage);
}
std::string_view ChannelStateName(ChannelState state) {
  return NameIn(kChannelStates, state);
}
std::string_view GapWhyName(Gap::Why why) {
  return NameIn(kWhys, why);
}

absl::StatusOr<SourceEvent> ParseSourceEvent(const Value& payload) {
  SourceEvent out;
  Fields fields(payload);
  fields.OneOf("event", kSourceEvents, out.event);
  fields.Source(out.source);
  fields.Operator(out.by, out.reason, out.request_id);
  if (out.event == SourceEvent::Event::kEpochReset || out.event == SourceEvent::Event::kLateAdmitted) {
    fields.Number("epoch", out.epoch);
  }
  if (out.event == SourceEvent::Event::kLateAdmitted) {
    fields.Number("from", out.from);
    fields.Number("to", out.to);
    if (out.from > out.to) fields.Fail(InvalidArgument("to: {} is below from, {}", out.to, out.from));
  }
  RETURN_IF_ERROR(fields.status());
  if (out.event == SourceEvent::Event::kRegistered || out.event == SourceEvent::Event::kChanged) {
    ASSIGN_OR_RETURN(out.registration, ReadRegistration(payload));
  }
  return out;
}

absl::StatusOr<KeyEvent> ParseKeyEvent(const Value& payload) {
  KeyEvent out;
  Fields fields(payload);
  fields.OneOf("event", kKeyEvents, out.event);
  fields.Source(out.source);
  fields.Operator(out.by, out.reason, out.request_id);
  RETURN_IF_ERROR(fields.status());
  if (out.event == KeyEvent::Event::kVersion) {
    ReadKey(fields, out.key);
    fields.OptionalNumber("previous_sign_until_ns", out.previous_sign_until);
    fields.OptionalNumber("previous_accept_until_ns", out.previous_accept_until);
  } else {
    fields.Number("key_version", out.version, 1, 0xffff'ffff);
  }
  if (out.event == KeyEvent::Event::kCompromised) fields.Number("compromised_since_ns", out.compromised_since);
  if (out.event == KeyEvent::Event::kWindow) {
    fields.OptionalNumber("sign_until_ns", out.sign_until);
    fields.OptionalNumber("accept_until_ns", out.accept_until);
    if (!out.sign_until && !out.accept_until)
      fields.Fail(InvalidArgument("sign_until_ns and accept_until_ns: one of them is needed"));
  }
  RETURN_IF_ERROR(fields.status());
  return out;
}

absl::StatusOr<Gap> ParseGap(const Value& payload) {
  Gap out;
  Fields fields(payload);
  fields.Source(out.source);
  fields.Number("epoch", out.epoch);
  fields.Number("from", out.from, 1, ~std::uint64_t{0} - 1);
  fields.Number("to", out.to, 1, ~std::uint64_t{0} - 1);
  fields.OneOf("reason", kWhys, out.why);
  if (out.from > out.to) fields.Fail(InvalidArgument("to: {} is below from, {}", out.to, out.from));
  RETURN_IF_ERROR(fields.status());
  return out;
}

absl::StatusOr<Alarm> ParseAlarm(const Value& payload) {
  Alarm out;
  Fields fields(payload);
  fields.Source(out.source);
  fields.Text("cause", out.cause);
  fields.OneOf("state", kChannelStates, out.state);
  if (payload["count"].present()) fields.Number("count", out.count);
  fields.OptionalHex("first_sha256", 32, out.first_sha256);
  fields.OptionalHex("last_sha256", 32, out.last_sha256);
  fields.Operator(out.by, out.reason, out.request_id);
  const bool printable = std::all_of(out.cause.begin(), out.cause.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (out.cause.empty() || out.cause.size() > kMaxCause || !printable) {
    fields.Fail(InvalidArgument("cause: wanted 1 to {} printable characters without spaces", kMaxCause));
  }
  if (out.state == ChannelState::kOk)
    fields.Fail(InvalidArgument("state: an alarm is ALARMED or BLACK; clearing is type 26"));
  RETURN_IF_ERROR(fields.status());
  return out;
}

absl::StatusOr<AlarmCleared> ParseAlarmCleared(const Value& payload) {
  AlarmCleared out;
  Fields fields(payload);
  fields.Source(out.source);
  fields.Text("cause", out.cause);
  fields.Operator(out.by, out.reason, out.request_id);
  RETURN_IF_ERROR(fields.status());
  return out;
}

absl::StatusOr<Heartbeat> ParseHeartbeat(const Value& payload) {
  Heartbeat out;
  if (!payload["sources"].present()) return out;
  Fields fields(payload);
  fields.Each("sources", [&](const Value& line) {
    Fields inner(line);
    Beat beat;
    std::string id;
    std::optional<std::uint64_t> since, last_bytes;
    inner.Hex("source_id", beat.source_id.size(), id);
    inner.Number("epoch", beat.epoch);
    inner.Number("last_sequence", beat.last_sequence);
    inner.Flag("connected", beat.connected);
    inner.OptionalNumber("since_ns", since);
    inner.OptionalNumber("last_bytes_ns", last_bytes);
    if (line["cannot_restate"].present()) inner.Flag("cannot_restate", beat.cannot_restate);
    if (!inner.status().ok()) return fields.Fail(Annotate(inner.status(), "sources"));
    std::copy(id.begin(), id.end(), beat.source_id.begin());
    beat.since = since.value_or(0);
    beat.last_bytes = last_bytes.value_or(0);
    out.sources.push_back(beat);
  });
  RETURN_IF_ERROR(fields.status());
  return out;
}

std::string BuildSourceEvent(const SourceEvent& event) {
  JsonWriter json;
  json.BeginObject();
  if (event.registration) {
    const Registration& r = *event.registration;
    json.Field("event", NameIn(kSourceEvents, event.event)).Field("source", r.source);
    WriteKey(json, r.key);
    json.Field("min_frame_version", std::uint64_t{r.min_frame_version}).Field("vantage", VantageName(r.vantage));
    json.Key("types").BeginArray();
    for (const std::uint8_t type : r.types) json.Unsigned(type);
    json.EndArray().Key("routers").BeginArray();
    for (const RouterScope& router : r.routers) {
      json.BeginObject().Field("name", router.name);
      WriteTexts(json, "bgp_ids", router.bgp_ids);
      WriteTexts(json, "addresses", router.addresses);
      WriteTexts(json, "vrfs", router.vrfs);
      json.EndObject();
    }
    json.EndArray();
    if (!r.subject_prefixes.empty()) WriteTexts(json, "subject_prefixes", r.subject_prefixes);
    WriteTexts(json, "carried_by", r.carried_by);
  } else {
    json.Field("domain", "virp").Field("event", NameIn(kSourceEvents, event.event)).Field("source", event.source);
    if (event.event == SourceEvent::Event::kEpochReset || event.event == SourceEvent::Event::kLateAdmitted) {
      json.Field("epoch", event.epoch);
    }
    if (event.event == SourceEvent::Event::kLateAdmitted) json.Field("from", event.from).Field("to", event.to);
  }
  WriteOperator(json, event.by, event.reason, event.request_id);
  return json.EndObject().Take();
}

std::string BuildKeyEvent(const KeyEvent& event) {
  JsonWriter json = Begin(NameIn(kKeyEvents, event.event));
  json.Field("source", event.source);
  if (event.event == KeyEvent::Event::kVersion) {
    WriteKey(json, event.key);
    if (event.previous_sign_until) json.Field("previous_sign_until_ns", *event.previous_sign_until);
    if (event.previous_accept_until) json.Field("previous_accept_until_ns", *event.previous_accept_until);
  } else {
    json.Field("key_version", std::uint64_t{event.version});
  }
  if (event.event == KeyEvent::Event::kCompromised) json.Field("compromised_since_ns", event.compromised_since);
  if (event.event == KeyEvent::Event::kWindow) {
    if (event.sign_until) json.Field("sign_until_ns", *event.sign_until);
    if (event.accept_until) json.Field("accept_until_ns", *event.accept_until);
  }
  WriteOperator(json, event.by, event.reason, event.request_id);
  return json.EndObject().Take();
}

std::string BuildGap(const Gap& gap) {
  JsonWriter json = Begin("gap");
  json.Field("source", gap.source).Field("epoch", gap.epoch).Field("from", gap.from).Field("to", gap.to);
  return json.Field("reason", GapWhyName(gap.why)).EndObject().Take();
}

std::string BuildAlarm(const Alarm& alarm) {
  JsonWriter json = Begin("channel_alarm");
  json.Field("source", alarm.source).Field("cause", alarm.cause).Field("state", ChannelStateName(alarm.state));
  json.Field("count", alarm.count);
  if (!alarm.first_sha256.empty()) json.Field("first_sha256", HexEncode(alarm.first_sha256));
  if (!alarm.last_sha256.empty()) json.Field("last_sha256", HexEncode(alarm.last_sha256));
  WriteOperator(json, alarm.by, alarm.reason, alarm.request_id);
  return json.EndObject().Take();
}

std::string BuildAlarmCleared(const AlarmCleared& cleared) {
  JsonWriter json = Begin("alarm_cleared");
  json.Field("source", cleared.source).Field("cause", cleared.cause);
  WriteOperator(json, cleared.by, cleared.reason, cleared.request_id);
  return json.EndObject().Take();
}

std::string BuildHeartbeat(const Heartbeat& heartbeat) {
  JsonWriter json = Begin("heartbeat");
  if (!heartbeat.sources.empty()) {
    json.Key("sources").BeginArray();
    for (const Beat& beat : heartbeat.sources) {
      const std::string_view id(reinterpret_cast<const char*>(beat.source_id.data()), beat.source_id.size());
      json.BeginObject().Field("source_id", HexEncode(id)).Field("epoch", beat.epoch);
      json.Field("last_sequence", beat.last_sequence).Field("connected", beat.connected);
      json.Field("since_ns", beat.since).Field("last_bytes_ns", beat.last_bytes);
      if (beat.cannot_restate) json.Field("cannot_restate", true);
      json.EndObject();
    }
    json.EndArray();
  }
  return json.EndObject().Take();
}

}  // namespace virp::chain
