#include "services/keymgr/domain/tcp_ao_record.h"

#include <algorithm>
#include <limits>

#include "lib/base/status.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

using frame::JsonWriter;
using frame::Value;

constexpr std::uint64_t kFormat = 1;
constexpr std::size_t kMaxKeys = 2;

void WriteTuple(JsonWriter& json, const TcpAoTuple& tuple) {
  json.Field("version", tuple.version).Field("from_a", unsigned{tuple.ids.from_a});
  json.Field("from_b", unsigned{tuple.ids.from_b});
}

// Reads members and remembers the first that does not fit.
class Reader {
 public:
  explicit Reader(Value object) : object_(object) {}
  const absl::Status& status() const { return status_; }
  Value operator[](std::string_view name) const { return object_[name]; }

  template <typename T>
  T Number(std::string_view name) {
    const auto number = object_[name].AsUnsigned();
    if (!number || *number > std::numeric_limits<T>::max()) Fail(name);
    return static_cast<T>(number.value_or(0));
  }
  std::string Text(std::string_view name) {
    const auto text = object_[name].AsString();
    if (!text) Fail(name);
    return std::string(text.value_or(""));
  }
  bool Flag(std::string_view name) {
    const auto flag = object_[name].AsBool();
    if (!flag) Fail(name);
    return flag.value_or(false);
  }
  TcpAoTuple Tuple() {
    TcpAoTuple tuple{Number<std::uint32_t>("version"), {}};
    tuple.ids = {Number<std::uint8_t>("from_a"), Number<std::uint8_t>("from_b")};
    if (tuple.version == 0) Fail("version");
    return tuple;
  }
  TcpAoSide Side() {
    TcpAoSide side{Text("device"), {}, Text("agent")};
    const auto address = IpAddress::Parse(Text("address"));
    if (!address.ok()) Fail("address");
    side.address = address.value_or(IpAddress());
    return side;
  }
  template <typename T>
  T Known(std::string_view name, std::optional<T> (*parse)(std::string_view), T fallback) {
    const std::optional<T> value = parse(Text(name));
    if (!value) Fail(name);
    return value.value_or(fallback);
  }
  void Fail(std::string_view name) {
    if (status_.ok()) status_ = InvalidArgument("{} is missing or not what it should be", name);
  }
  void Take(const Reader& inner) {
    if (status_.ok()) status_ = inner.status();
  }

 private:
  const Value object_;
  absl::Status status_;
};

void WriteRoll(JsonWriter& json, const TcpAoRoll& roll) {
  json.Field("phase", TcpAoPhaseName(roll.phase)).Field("serial", roll.serial).Field("started_ns", roll.started);
  json.Field("use_from_ns", roll.use_from).Field("deadline_ns", roll.deadline).Field("hold_ns", roll.hold);
  json.Field("force_current", roll.force_current).Field("forced_removal", roll.forced_removal);
  json.Key("new").BeginObject();
  WriteTuple(json, roll.new_key);
  json.EndObject();
  if (!roll.old_key.has_value()) return;
  json.Key("old").BeginObject();
  WriteTuple(json, *roll.old_key);
  json.EndObject();
}

TcpAoRoll ReadRoll(Value object, Reader& outer) {
  Reader reader(object);
  TcpAoRoll roll;
  roll.phase = reader.Known("phase", TcpAoPhaseFromName, TcpAoPhase::kPending);
  roll.serial = reader.Number<std::uint64_t>("serial");
  roll.started = reader.Number<UnixNanos>("started_ns");
  roll.use_from = reader.Number<UnixNanos>("use_from_ns");
  roll.deadline = reader.Number<UnixNanos>("deadline_ns");
  roll.hold = reader.Number<UnixNanos>("hold_ns");
  roll.force_current = reader.Flag("force_current");
  roll.forced_removal = reader.Flag("forced_removal");
  Reader next(reader["new"]);
  roll.new_key = next.Tuple();
  reader.Take(next);
  if (reader["old"].present()) {
    Reader last(reader["old"]);
    roll.old_key = last.Tuple();
    reader.Take(last);
  }
  outer.Take(reader);
  return roll;
}

TcpAoPair ReadPair(const std::string& id, Reader& reader) {
  TcpAoPair pair;
  pair.id = id;
  pair.algorithm = reader.Known("algorithm", TcpAoAlgorithmFromName, TcpAoAlgorithm::kHmacSha1_96);
  pair.covers_options = reader.Flag("covers_options");
  pair.octets = reader.Number<unsigned>("octets");
  pair.hold = reader.Number<UnixNanos>("hold_ns");
  pair.deadline = reader.Number<UnixNanos>("roll_within_ns");
  pair.quarantine = reader.Number<UnixNanos>("quarantine_ns");
  for (const TcpAoEnd end : {TcpAoEnd::kA, TcpAoEnd::kB}) {
    Reader side(reader[end == TcpAoEnd::kA ? "a" : "b"]);
    pair.sides[At(end)] = side.Side();
    reader.Take(side);
  }
  return pair;
}

}  // namespace

const TcpAoPairRecord::Key* TcpAoPairRecord::Find(std::uint32_t version) const {
  const auto found = std::ranges::find(keys, version, [](const Key& key) { return key.tuple.version; });
  return found == keys.end() ? nullptr : &*found;
}

std::vector<TcpAoUsedId> TcpAoPairRecord::UsedIds() const {
  std::vector<TcpAoUsedId> used = resting;
  for (const Key& key : keys) {
    used.push_back({key.tuple.ids.from_a, 0});
    used.push_back({key.tuple.ids.from_b, 0});
  }
  return used;
}

void TcpAoPairRecord::Rest(const TcpAoUsedId& id) {
  const auto known = std::ranges::find(resting, id.id, &TcpAoUsedId::id);
  if (known == resting.end()) {
    resting.push_back(id);
  } else {
    known->until = std::max(known->until, id.until);
  }
}

void TcpAoPairRecord::Drop(std::uint32_t version, UnixNanos now) {
  std::erase_if(resting, [&](const TcpAoUsedId& id) { return id.until <= now; });
  const Key* const key = Find(version);
  if (key == nullptr) return;
  // At least the time in which segments of the old key may be under way.
  const UnixNanos until = now + std::max(pair.quarantine, pair.hold);
  Rest({key->tuple.ids.from_a, until});
  Rest({key->tuple.ids.from_b, until});
  std::erase_if(keys, [&](const Key& k) { return k.tuple.version == version; });
}

Row TcpAoPairRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = pair.id;
  row.parent = pair.side(TcpAoEnd::kA).device;
  row.state = deleted ? "DELETED" : TcpAoPhaseName(roll.phase);
  if (!IsOver(roll)) row.due = roll.deadline;
  JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("algorithm", TcpAoAlgorithmName(pair.algorithm));
  json.Field("covers_options", pair.covers_options).Field("octets", pair.octets).Field("hold_ns", pair.hold);
  json.Field("roll_within_ns", pair.deadline).Field("quarantine_ns", pair.quarantine);
  for (const TcpAoEnd end : {TcpAoEnd::kA, TcpAoEnd::kB}) {
    const TcpAoSide& side = pair.side(end);
    json.Key(end == TcpAoEnd::kA ? "a" : "b").BeginObject().Field("device", std::string_view(side.device));
    json.Field("address", side.address.ToString()).Field("agent", std::string_view(side.agent)).EndObject();
  }
  json.Key("roll").BeginObject();
  WriteRoll(json, roll);
  json.EndObject().Field("last_id", unsigned{last_id}).Field("overdue_told", overdue_told);
  json.Field("deleted", deleted);
  json.Key("keys").BeginArray();
  for (const Key& key : keys) {
    json.BeginObject();
    WriteTuple(json, key.tuple);
    json.Field("made_ns", key.made).Field("use_from_ns", key.use_from).EndObject();
  }
  json.EndArray().Key("resting").BeginArray();
  for (const TcpAoUsedId& id : resting) {
    json.BeginObject().Field("id", unsigned{id.id}).Field("until_ns", id.until).EndObject();
  }
  row.body = json.EndArray().EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> TcpAoPairRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const Value body, payloads.Read(row.body));
  Reader reader(body);
  if (reader.Number<std::uint64_t>("format") != kFormat)
    return InvalidArgument("written by a later version of the key manager");
  auto out = std::make_shared<TcpAoPairRecord>();
  out->pair = ReadPair(row.id, reader);
  out->roll = ReadRoll(reader["roll"], reader);
  out->last_id = reader.Number<std::uint8_t>("last_id");
  out->overdue_told = reader.Flag("overdue_told");
  out->deleted = reader.Flag("deleted");
  for (const Value::Member& member : reader["keys"].members()) {
    Reader key(member.value);
    out->keys.push_back({key.Tuple(), key.Number<UnixNanos>("made_ns"), key.Number<UnixNanos>("use_from_ns")});
    reader.Take(key);
  }
  for (const Value::Member& member : reader["resting"].members()) {
    Reader id(member.value);
    out->resting.push_back({id.Number<std::uint8_t>("id"), id.Number<UnixNanos>("until_ns")});
    reader.Take(id);
  }
  if (!reader["keys"].present() || out->keys.size() > kMaxKeys) reader.Fail("keys");
  if (!reader["resting"].present()) reader.Fail("resting");
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(CheckPair(out->pair));
  return std::shared_ptr<Record>(std::move(out));
}

}  // namespace virp::keymgr
