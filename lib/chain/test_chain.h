// For tests only: a chain in memory, made as a leader would make it, with real keys and tags. Each Send is a frame that
// a source signs now; the chain admits it, enters the gaps that it needs and the frame itself.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/chain/control.h"
#include "lib/chain/entry.h"
#include "lib/chain/source_book.h"
#include "lib/chain/subject.h"
#include "lib/frame/frame.h"
#include "lib/frame/key.h"

namespace virp::chain {

// Keys made from (source, version), so that two runs of a test make the same bytes.
class TestKeys final : public frame::KeyProvider {
 public:
  std::shared_ptr<const frame::OKey> Make(const std::string& source, std::uint32_t version, frame::Suite suite) {
    const Hash secret = GenesisOf(fmt::format("{}#{}", source, version));  // any hash does
    auto key =
        suite == frame::Suite::kEd25519 ? frame::OKey::Ed25519FromSeed(View(secret)) : frame::OKey::Hmac(View(secret));
    return keys_[{source, version}] = key.value();
  }
  void Forget(const std::string& source, std::uint32_t version) { keys_.erase({source, version}); }
  std::shared_ptr<const frame::OKey> Find(std::string_view source, std::uint32_t version) const override {
    const auto found = keys_.find({std::string(source), version});
    return found == keys_.end() ? nullptr : found->second;
  }
  std::vector<frame::KeyVersion> Versions(std::string_view source) const override {
    std::vector<frame::KeyVersion> out;
    for (const auto& [id, key] : keys_) {
      if (id.first == source) out.push_back({id.second, key, 0, std::nullopt});
    }
    return out;
  }
  std::vector<std::string> Sources() const override { return {}; }
  std::uint64_t Generation() const override { return 0; }

 private:
  std::map<std::pair<std::string, std::uint32_t>, std::shared_ptr<const frame::OKey>> keys_;
};

class TestChain {
 public:
  static constexpr UnixNanos kStart = 1'750'000'000'000'000'000;
  static constexpr UnixNanos kSecond = 1'000'000'000;

  explicit TestChain(std::string origin = "virp.example.net/test") : book(origin), origin_(std::move(origin)) {
    head_ = GenesisOf(origin_);
    own_epoch_ = kStart;
    Registration own = Template(origin_, frame::Suite::kEd25519);
    own.vantage = Vantage::kService;
    own.types = {19, 22, 23, 25, 26, 27, 28};
    own.carried_by.clear();
    Register(own);
  }

  // A daemon of router edge-a that collector-1 carries; HMAC unless said otherwise. Its key version 1 is made.
  Registration Template(const std::string& name, frame::Suite suite = frame::Suite::kHmacSha256) {
    Registration r;
    r.source = name;
    r.key = MakeKey(name, 1, suite);
    r.types = {1, 2, 3, 4, 22, 24};
    r.routers = {{"edge-a", {"192.0.2.1"}, {}, {"default"}}};
    r.carried_by = {kCarrier};
    return r;
  }
  KeyStatement MakeKey(const std::string& name, std::uint32_t version, frame::Suite suite) {
    const auto key = keys.Make(name, version, suite);
    KeyStatement out;
    out.version = version;
    out.suite = suite;
    out.public_key = key->public_key();
    out.commitment = key->Commitment(name, version);
    return out;
  }

  // What a source sends. Fields that stay as they are follow the source: its next number, its epoch, its newest key.
  struct Frame {
    frame::Type type = frame::Type::kPeerStatusChanged;
    std::string payload = kPeerUp;
    std::optional<std::uint64_t> number{};
    std::uint64_t epoch = 0;          // 0: kStart + 1
    std::optional<UnixNanos> time{};  // else now
    frame::Tier tier = frame::Tier::kGreen;
    std::uint32_t key_version = 1;
    frame::Spelling spelling = frame::Spelling::kV2;
  };
  struct Result {
    Admission admission;
    std::optional<std::uint64_t> entry;  // where it went
    Placement::Where where() const { return admission.placement.where; }
    frame::Reason reason() const { return admission.reason; }
  };

  Result Send(const std::string& source) { return Send(source, Frame()); }
  Result Send(const std::string& source, const Frame& f) {
    const Signed s = Sign(source, f);
    return Offer(source, s.bytes, s.header.spelling, s.epoch, s.key_version);
  }

  // The frame's bytes, for a test that offers them more than once.
  struct Signed {
    frame::Header header;
    std::string bytes;
    std::uint64_t epoch = 0;
    std::uint32_t key_version = 0;
  };
  Signed Sign(const std::string& source, const Frame& f) const {
    Signed out;
    const auto key = keys.Find(source, f.key_version);
    frame::Header& h = out.header;
    out.epoch = f.epoch != 0 ? f.epoch : kStart + 1;
    out.key_version = f.key_version;
    h.spelling = f.spelling;
    h.type = f.type;
    h.tier = f.tier;
    h.suite = key->suite();
    h.timestamp = f.time.value_or(now);
    h.sequence = f.number.value_or(NextNumber(source, out.epoch));
    if (f.spelling == frame::Spelling::kV2) {
      h.key_version = f.key_version;
      h.boot_epoch = out.epoch;
      h.source_id = frame::SourceIdOf(source);
    }
    out.bytes = frame::EncodeSigned(h, f.payload, *key).value();
    return out;
  }

  // Acceptance steps 4 and 5 and the appending.
  Result Offer(const std::string& source, std::string_view bytes, frame::Spelling spelling, std::uint64_t epoch,
               std::uint32_t key_version) {
    const frame::Frame frame = frame::Decode(bytes, spelling).value();
    const auto registered = book.FindByName(source);
    if (registered == nullptr) return {{frame::Reason::kSourceUnknown, {}, 0}, std::nullopt};
    const auto payload = Read(frame);
    const auto statement = ReadStatement(registered->registration, frame.header.type, payload);
    Result out{book.Admit(*registered, frame.header, epoch, key_version, Receipt(), statement, payload), std::nullopt};
    if (out.reason() != frame::Reason::kNone || out.where() == Placement::Where::kHeld) return out;
    for (const Gap& gap : out.admission.placement.gaps) Own(frame::Type::kGap, BuildGap(gap), frame::Tier::kYellow);
    const absl::Status status = Append(*registered, frame, epoch, key_version, out.admission.flags);
    EXPECT_TRUE(status.ok()) << status;
    out.entry = book.size() - 1;
    return out;
  }

  // The O-Node speaks.
  absl::Status TryOwn(frame::Type type, const std::string& payload, frame::Tier tier = frame::Tier::kGreen) {
    Frame f{type, payload, own_next_, own_epoch_, std::nullopt, tier, own_key_, frame::Spelling::kV2};
    const Signed s = Sign(origin_, f);
    const frame::Frame frame = frame::Decode(s.bytes, s.header.spelling).value();
    auto self = book.FindByName(origin_);
    const auto read = Read(frame);
    std::uint8_t flags = 0;
    if (self == nullptr) {
      auto first = std::make_shared<Source>();
      first->registration = *ParseSourceEvent(*read)->registration;
      self = first;
    } else {
      const auto statement = ReadStatement(self->registration, type, read);
      flags = book.Flags(*self, frame.header, s.epoch, Receipt(), statement, read);
    }
    const absl::Status status = Append(*self, frame, s.epoch, own_key_, flags);
    if (status.ok()) ++own_next_;
    return status;
  }
  void Own(frame::Type type, const std::string& payload, frame::Tier tier = frame::Tier::kGreen) {
    const absl::Status status = TryOwn(type, payload, tier);
    EXPECT_TRUE(status.ok()) << status << " " << payload;
  }
  void Register(const Registration& r) {
    Event({.event = SourceEvent::Event::kRegistered, .source = r.source, .registration = r});
  }
  void Event(const SourceEvent& event) { Own(frame::Type::kSourceEvent, BuildSourceEvent(event)); }
  void Event(const KeyEvent& event) { Own(frame::Type::kKeyEvent, BuildKeyEvent(event)); }
  void Event(const Alarm& alarm) { Own(frame::Type::kChannelAlarm, BuildAlarm(alarm), frame::Tier::kYellow); }
  void Event(const AlarmCleared& cleared) { Own(frame::Type::kAlarmCleared, BuildAlarmCleared(cleared)); }
  void TakeOver() {  // the O-Node starts again: a new epoch of its own
    own_epoch_ = now;
    own_next_ = 1;
  }
  void UseOwnKey(std::uint32_t version) { own_key_ = version; }

  const Channel& channel(const std::string& source) const {
    static const Channel kNothing;
    const Channel* found = book.FindChannel(frame::ShortIdOf(source));
    return found == nullptr ? kNothing : *found;
  }
  const std::string& origin() const { return origin_; }
  UnixNanos Receipt() const { return now / 1000 * 1000; }
  void Advance(UnixNanos by) { now += by; }

  static constexpr const char* kCarrier = "spiffe://example.net/collector/collector-1";
  static constexpr const char* kPeerUp =
      R"({"domain":"bgp","event":"peer_state_change","peer_addr":"192.0.2.2","router_id":"192.0.2.1","new_state":"Established"})";

  SourceBook book;
  TestKeys keys;
  UnixNanos now = kStart + kSecond;
  std::vector<std::string> entries;
  std::vector<Hash> leaves;

 private:
  std::optional<frame::Value> Read(const frame::Frame& frame) {
    const auto payload = reader_.Read(frame.payload);
    return payload.ok() ? std::optional(*payload) : std::nullopt;
  }
  std::uint64_t NextNumber(const std::string& source, std::uint64_t epoch) const {
    const auto& epochs = channel(source).epochs;
    const auto found = epochs.find(epoch);
    return found == epochs.end() ? 1 : found->second.next;
  }
  absl::Status Append(const Source& source, const frame::Frame& frame, std::uint64_t epoch, std::uint32_t key_version,
                      std::uint8_t flags) {
    const auto payload = Read(frame);
    const auto statement = ReadStatement(source.registration, frame.header.type, payload);
    const std::uint64_t subject = SubjectUnder(statement, flags);
    EntryHeader h;
    h.origin_id = OriginIdOf(origin_);
    h.sequence = book.size();
    h.previous = head_;
    h.received_us = now / 1000;
    h.source = frame::ShortIdOf(source.registration.source);
    h.source_epoch = epoch;
    h.source_sequence = frame.header.sequence;
    h.source_previous = book.LastOfSource(h.source);
    h.subject_previous = subject == 0 ? kNone : book.LastOfSubject(subject);
    h.key_version = key_version;
    h.kind = KindOf(frame.header.type);
    h.checked_by = frame.header.suite;
    h.result = flags;
    h.spelling = frame.header.spelling;
    const std::string bytes = EncodeEntry(h, frame.bytes);
    RETURN_IF_ERROR(book.Apply(DecodeEntry(bytes).value(), frame, statement, payload));
    entries.push_back(bytes);
    leaves.push_back(LeafHash(bytes));
    head_ = leaves.back();
    return absl::OkStatus();
  }

  std::string origin_;
  Hash head_{};
  std::uint64_t own_epoch_ = 0, own_next_ = 1;
  std::uint32_t own_key_ = 1;
  frame::PayloadReader reader_;
};

}  // namespace virp::chain
