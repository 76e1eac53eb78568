#include "lib/rtr/history_state.h"

#include <algorithm>
#include <map>
#include <type_traits>

#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::rtr::history {
namespace {

constexpr std::string_view kMagic = "virprtr1";
constexpr std::size_t kHashSize = 32;
constexpr std::size_t kMaxUsed = 256;

class Writer {
 public:
  template <std::unsigned_integral T>
  void Put(T value) {
    AppendBe(out_, value);
  }
  void PutText(std::string_view text) {
    Put(static_cast<std::uint16_t>(text.size()));
    out_.append(text);
  }
  void PutBytes(std::string_view bytes) { out_.append(bytes); }

  void Put(const vrp::Vrp4& vrp) {
    Put(vrp.address);
    Put(vrp.as);
    Put(vrp.length);
    Put(vrp.max_length);
  }
  void Put(const vrp::Vrp6& vrp) {
    Put(vrp.high);
    Put(vrp.low);
    Put(vrp.as);
    Put(vrp.length);
    Put(vrp.max_length);
  }
  void Put(const vrp::RouterKey& key) {
    PutBytes({reinterpret_cast<const char*>(key.ski.data()), key.ski.size()});
    Put(key.as);
    PutText(key.spki);
  }
  void Put(const std::vector<std::uint32_t>& providers) {
    Put(static_cast<std::uint16_t>(providers.size()));
    for (const std::uint32_t provider : providers) Put(provider);
  }
  void Put(const AspaChange& change) {
    Put(change.customer);
    Put(change.before);
    Put(change.after);
  }
  template <typename T>
  void PutAll(const std::vector<T>& records) {
    Put(static_cast<std::uint32_t>(records.size()));
    for (const T& record : records) Put(record);
  }
  template <typename T>
  void Put(const Changes<T>& changes) {
    PutAll(changes.announced);
    PutAll(changes.withdrawn);
  }
  void Put(const Delta& delta) {
    Put(delta.vrps4);
    Put(delta.vrps6);
    Put(delta.router_keys);
    PutAll(delta.aspas);
  }

  std::string Finish() {
    const Hash checksum = crypto::Sha256(out_);
    out_.append(View(checksum));
    return std::move(out_);
  }

 private:
  std::string out_;
};

// Reads what Writer wrote. After a read beyond the end everything is zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  void Fail() {
    ok_ = false;
    rest_ = {};
  }

  std::string_view Bytes(std::size_t size) {
    if (rest_.size() < size) Fail();
    const std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(out.size());
    return out;
  }
  template <std::unsigned_integral T>
  T Number() {
    const std::string_view bytes = Bytes(sizeof(T));
    return ok_ ? LoadBe<T>(bytes.data()) : T{0};
  }
  std::string_view Text() { return Bytes(Number<std::uint16_t>()); }

  void Get(vrp::Vrp4& vrp) {
    vrp.address = Number<std::uint32_t>();
    vrp.as = Number<std::uint32_t>();
    vrp.length = Number<std::uint8_t>();
    vrp.max_length = Number<std::uint8_t>();
  }
  void Get(vrp::Vrp6& vrp) {
    vrp.high = Number<std::uint64_t>();
    vrp.low = Number<std::uint64_t>();
    vrp.as = Number<std::uint32_t>();
    vrp.length = Number<std::uint8_t>();
    vrp.max_length = Number<std::uint8_t>();
  }
  void Get(vrp::RouterKey& key) {
    const std::string_view ski = Bytes(key.ski.size());
    std::copy(ski.begin(), ski.end(), key.ski.begin());
    key.as = Number<std::uint32_t>();
    key.spki = Text();
  }
  void Get(std::vector<std::uint32_t>& providers) {
    for (std::size_t left = Number<std::uint16_t>(); left > 0 && ok_; --left) {
      providers.push_back(Number<std::uint32_t>());
    }
  }
  void Get(AspaChange& change) {
    change.customer = Number<std::uint32_t>();
    Get(change.before);
    Get(change.after);
  }
  // Grows with what is there, not with what the count claims; only what is in order is taken.
  template <typename T, typename Less>
  void GetAll(std::vector<T>& records, const Less& less) {
    for (std::size_t left = Number<std::uint32_t>(); left > 0 && ok_; --left) {
      T record;
      Get(record);
      if (!records.empty() && !less(records.back(), record)) Fail();
      records.push_back(std::move(record));
    }
  }
  template <typename T>
  void Get(Changes<T>& changes) {
    const auto less = [](const T& a, const T& b) { return vrp::Order(a, b) < 0; };
    GetAll(changes.announced, less);
    GetAll(changes.withdrawn, less);
  }
  void Get(Delta& delta) {
    Get(delta.vrps4);
    Get(delta.vrps6);
    Get(delta.router_keys);
    GetAll(delta.aspas, [](const AspaChange& a, const AspaChange& b) { return a.customer < b.customer; });
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

absl::Status Damaged(std::string_view why) {
  return DataLoss("the saved RTR history cannot be used ({}); new sessions are started, routers reload", why);
}

std::shared_ptr<Line> ReadLine(Reader& reader, const std::vector<std::shared_ptr<const Delta>>& deltas) {
  auto line = std::make_shared<Line>();
  line->session = reader.Number<std::uint16_t>();
  line->serial = reader.Number<std::uint32_t>();
  for (std::size_t left = reader.Number<std::uint16_t>(); left > 0 && reader.ok(); --left) {
    const auto index = reader.Number<std::uint32_t>();
    if (index >= deltas.size()) {
      reader.Fail();
      break;
    }
    line->deltas.push_back(deltas[index]);
  }
  if (line->deltas.size() > kMaxDeltas) reader.Fail();
  return line;
}

}  // namespace

std::string FormatState(std::string_view owner, const Hash& hash, const std::vector<std::uint16_t>& used,
                        const Snapshot::Lines& lines) {
  // Versions share most deltas.
  std::map<const Delta*, std::uint32_t> index;
  std::vector<const Delta*> deltas;
  for (const auto& line : lines) {
    for (const auto& delta : line->deltas) {
      if (index.emplace(delta.get(), deltas.size()).second) deltas.push_back(delta.get());
    }
  }
  Writer out;
  out.PutBytes(kMagic);
  out.PutText(owner);
  out.PutBytes(View(hash));
  out.Put(static_cast<std::uint16_t>(used.size()));
  for (const std::uint16_t id : used) out.Put(id);
  out.Put(static_cast<std::uint32_t>(deltas.size()));
  for (const Delta* delta : deltas) out.Put(*delta);
  for (const auto& line : lines) {
    out.Put(line->session);
    out.Put(line->serial);
    out.Put(static_cast<std::uint16_t>(line->deltas.size()));
    for (const auto& delta : line->deltas) out.Put(index.at(delta.get()));
  }
  return out.Finish();
}

absl::StatusOr<State> ParseState(std::string_view bytes) {
  if (bytes.substr(0, kMagic.size()) != kMagic) return Damaged("it is not of a format that this version knows");
  if (bytes.size() < kMagic.size() + kHashSize) return Damaged("it is cut off");
  const std::string_view content = bytes.substr(0, bytes.size() - kHashSize);
  if (View(crypto::Sha256(content)) != bytes.substr(content.size())) return Damaged("its checksum does not fit");

  Reader reader(content.substr(kMagic.size()));
  State out;
  out.owner = reader.Text();
  const std::string_view hash = reader.Bytes(kHashSize);
  std::copy(hash.begin(), hash.end(), out.hash.begin());
  for (std::size_t left = reader.Number<std::uint16_t>(); left > 0 && reader.ok(); --left) {
    out.used.push_back(reader.Number<std::uint16_t>());
  }
  std::vector<std::shared_ptr<const Delta>> deltas;
  for (std::size_t left = reader.Number<std::uint32_t>(); left > 0 && reader.ok(); --left) {
    Delta delta;
    reader.Get(delta);
    deltas.push_back(std::make_shared<const Delta>(std::move(delta)));
  }
  for (auto& line : out.lines) line = ReadLine(reader, deltas);
  if (!reader.ok() || !reader.at_end() || out.used.size() > kMaxUsed) return Damaged("its parts do not fit together");
  return out;
}

}  // namespace virp::rtr::history
