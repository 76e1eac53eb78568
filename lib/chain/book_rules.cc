// The rules of sources, keys and scope: what acceptance asks before an entry exists, and Apply of the entry.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "lib/base/status.h"
#include "lib/chain/book_impl.h"

namespace virp::chain {
namespace {

using frame::Reason;
using frame::Type;

constexpr std::uint8_t kContentFlags = kScopeViolation | kOpaque;
constexpr Type kOnlyOwn[] = {Type::kSourceEvent, Type::kAlarmCleared, Type::kDecision};
constexpr Type kVersion1Types[] = {Type::kPeerStatusChanged, Type::kPeerBackwardTransition, Type::kBgpProcess,
                                   Type::kBgpRouteUpdate, Type::kGap};

template <std::size_t N>
bool IsOneOf(Type type, const Type (&types)[N]) {
  return std::find(std::begin(types), std::end(types), type) != std::end(types);
}

bool IsVersion1(const frame::Header& header) {
  return header.spelling != frame::Spelling::kV2;
}

// Acceptance step 2 between the carrier and the key.
Reason CheckStanding(const Source& source, const frame::Header& header) {
  if (source.suspended) return Reason::kSourceSuspended;
  if (IsVersion1(header) && (source.sent_v2 || source.registration.min_frame_version > 1)) return Reason::kDowngrade;
  return Reason::kNone;
}

bool IsAdmitted(const Source& source, std::uint64_t epoch, std::uint64_t number) {
  return std::any_of(source.admitted.begin(), source.admitted.end(), [&](const Source::Admitted& range) {
    return range.epoch == epoch && range.from <= number && number <= range.to;
  });
}

bool IsRegisteredType(const Source& source, Type type) {
  const auto& types = source.registration.types;
  return std::find(types.begin(), types.end(), static_cast<std::uint8_t>(type)) != types.end();
}

}  // namespace

Reason SourceBook::CheckSource(const Source& source, const frame::Header& header, std::string_view carrier,
                               UnixNanos receipt) {
  if (!source.MayBeCarriedBy(carrier)) return Reason::kNotBound;
  if (const Reason reason = CheckStanding(source, header); reason != Reason::kNone) return reason;
  if (IsVersion1(header)) return Reason::kNone;
  return CheckKeyVersion(source, header.key_version, header, header.boot_epoch, receipt, nullptr);
}

Reason SourceBook::CheckKeyVersion(const Source& source, std::uint32_t version, const frame::Header& header,
                                   std::uint64_t epoch, UnixNanos receipt, bool* admitted_late) {
  if (admitted_late != nullptr) *admitted_late = false;
  const auto found = source.keys.find(version);
  if (found == source.keys.end()) return Reason::kKeyVersionUnknown;
  const KeyState& key = found->second;
  const KeyStatement& statement = key.statement;
  if (header.timestamp < statement.accept_from && statement.accept_from - header.timestamp > kSkewNanos) {
    return Reason::kKeyVersionUnknown;
  }
  if (header.suite != statement.suite) return Reason::kWrongSuite;
  if ((key.sign_until && header.timestamp > *key.sign_until) ||
      (statement.accept_until && receipt > *statement.accept_until)) {
    if (!IsAdmitted(source, epoch, header.sequence)) return Reason::kLateKey;
    if (admitted_late != nullptr) *admitted_late = true;
  }
  return key.compromised_since && receipt >= *key.compromised_since ? Reason::kKeyCompromised : Reason::kNone;
}

std::vector<std::uint32_t> SourceBook::AcceptedVersions(const Source& source, const frame::Header& header,
                                                        UnixNanos receipt, std::uint64_t epoch) {
  std::vector<std::uint32_t> out;
  for (auto key = source.keys.rbegin(); key != source.keys.rend(); ++key) {
    if (CheckKeyVersion(source, key->first, header, epoch, receipt, nullptr) == Reason::kNone)
      out.push_back(key->first);
  }
  return out;
}

Placement SourceBook::Place(const Source& source, const frame::Header& header, std::uint64_t epoch,
                            UnixNanos receipt) const {
  const Impl::Slot* slot = impl_->Find(source.short_id);
  static const Channel kNothingHeld;
  Placement out = PlaceFrame(slot == nullptr ? kNothingHeld : *slot->channel, header, epoch, receipt);
  for (Gap& gap : out.gaps) gap.source = source.registration.source;
  return out;
}

bool SourceBook::MaySpeakFor(const Source& signer, const Source& about, std::string_view origin) {
  const std::string& name = signer.registration.source;
  if (name == origin || name == about.registration.source) return true;
  const auto& carriers = signer.registration.carried_by;
  return std::any_of(carriers.begin(), carriers.end(), [&](const std::string& id) { return about.MayBeCarriedBy(id); });
}

// A beat, an alarm or a gap for a source that its signer has nothing to do with. Sources that this chain does not know
// are passed over: a collector's beat lists all that it relays, those of other chains and those not registered yet
// among them.
bool SourceBook::Impl::SpeaksForStrangers(const Source& source, Type type, const frame::Value& payload) const {
  const auto is_stranger = [&](const Slot* about) {
    return about != nullptr && !MaySpeakFor(source, *about->source, origin);
  };
  if (IsOwn(source)) return false;
  if (type == Type::kGap) {
    const auto about = payload["source"].AsString();
    return (about && *about != source.registration.source) ||
           payload["reason"].AsString() == GapWhyName(Gap::Why::kMissing);
  }
  if (type == Type::kChannelAlarm) {
    const auto about = payload["source"].AsString();
    return about && is_stranger(Find(*about));
  }
  if (type != Type::kHeartbeat) return false;
  const auto heartbeat = ParseHeartbeat(payload);
  if (!heartbeat.ok()) return false;
  return std::any_of(heartbeat->sources.begin(), heartbeat->sources.end(), [&](const Beat& beat) {
    const Slot* about = slots.Find(frame::ShortIdOf(beat.source_id));
    return is_stranger(about != nullptr && about->source->id == beat.source_id ? about : nullptr);
  });
}

// The flags that need no payload.
std::uint8_t SourceBook::Impl::HeaderFlags(const Source& source, const frame::Header& header, std::uint64_t epoch,
                                           UnixNanos receipt) const {
  const Slot* slot = Find(source.short_id);
  std::uint8_t flags =
      IsClockSuspect(slot == nullptr ? nullptr : &*slot->channel, header, epoch, receipt) ? kClockSuspect : 0;
  const bool in_scope = IsRegisteredType(source, header.type) && (IsOwn(source) || !IsOneOf(header.type, kOnlyOwn)) &&
                        (!IsVersion1(header) || IsOneOf(header.type, kVersion1Types));
  return in_scope ? flags : static_cast<std::uint8_t>(flags | kScopeViolation);
}

std::uint8_t SourceBook::Flags(const Source& source, const frame::Header& header, std::uint64_t epoch,
                               UnixNanos receipt, const Statement& statement,
                               const std::optional<frame::Value>& payload) const {
  std::uint8_t flags = impl_->HeaderFlags(source, header, epoch, receipt);
  flags = static_cast<std::uint8_t>(flags | statement.flags);
  if (payload && impl_->SpeaksForStrangers(source, header.type, *payload))
    flags = static_cast<std::uint8_t>(flags | kScopeViolation);
  return flags;
}

Admission SourceBook::Admit(const Source& stale, const frame::Header& header, std::uint64_t epoch,
                            std::uint32_t key_version, UnixNanos receipt, const Statement& statement,
                            const std::optional<frame::Value>& payload) const {
  Admission out;
  const std::shared_ptr<const Source> source = FindByShortId(stale.short_id);
  if (source == nullptr) return {Reason::kSourceUnknown, {}, 0};
  bool admitted_late = false;
  out.reason = CheckStanding(*source, header);
  if (out.reason == Reason::kNone)
    out.reason = CheckKeyVersion(*source, key_version, header, epoch, receipt, &admitted_late);
  if (out.reason != Reason::kNone) return out;
  out.placement = Place(*source, header, epoch, receipt);
  out.reason = out.placement.reason;
  if (out.reason != Reason::kNone) return out;
  out.flags = Flags(*source, header, epoch, receipt, statement, payload);
  if (admitted_late) out.flags = static_cast<std::uint8_t>(out.flags | kAdmittedLate);
  return out;
}

// ---- events that change sources and keys ----

absl::Status SourceBook::Impl::CheckRegistrationEvent(const SourceEvent& event) const {
  const Registration& registration = *event.registration;
  const bool own = registration.source == origin;
  if (registration.source != event.source) return InvalidArgument("the registration is of another source");
  RETURN_IF_ERROR(CheckRegistration(registration));
  const auto& types = registration.types;
  const bool only_own = std::any_of(types.begin(), types.end(),
                                    [](std::uint8_t type) { return IsOneOf(static_cast<Type>(type), kOnlyOwn); });
  if (!own && only_own) return InvalidArgument("types: 25, 26 and 28 are for the O-Node's own source");
  if (own && !registration.carried_by.empty()) return FailedPrecondition("nobody carries the O-Node's own source");
  if (own && registration.key.suite != frame::Suite::kEd25519)
    return FailedPrecondition("the O-Node signs with Ed25519");
  const Slot* there = Find(frame::ShortIdOf(event.source));
  if (event.event == SourceEvent::Event::kRegistered) {
    if (there == nullptr) return absl::OkStatus();
    if (there->source->registration.source == event.source)
      return AlreadyExists("source {} is registered", event.source);
    return AlreadyExists("the first 8 bytes of the id of {} are those of {}; choose another name", event.source,
                         there->source->registration.source);
  }
  if (there->source->registration.key != registration.key) {
    return FailedPrecondition("a changed registration keeps the first key version; a new one is a key event");
  }
  return absl::OkStatus();
}

absl::Status SourceBook::Impl::CheckSourceEvent(const SourceEvent& event) const {
  using Event = SourceEvent::Event;
  const bool whole = event.event == Event::kRegistered || event.event == Event::kChanged;
  if (whole != event.registration.has_value())
    return InvalidArgument("a registration belongs to registered and changed");
  const Slot* slot = Find(event.source);
  if (slot == nullptr && event.event != Event::kRegistered)
    return NotFound("source {} is not registered", event.source);
  if (whole) return CheckRegistrationEvent(event);
  if (event.source == origin)
    return FailedPrecondition("the O-Node's own source is not suspended, reset or admitted late");
  if (event.event == Event::kEpochReset) {
    const auto& opened = *slot->channel->opened;
    const bool any =
        std::any_of(opened.begin(), opened.end(), [&](std::uint64_t epoch) { return epoch >= event.epoch; });
    if (!any || event.epoch == 0)
      return FailedPrecondition("source {} has sent no epoch from {} on", event.source, event.epoch);
  }
  if (event.event == Event::kLateAdmitted && event.from > event.to) return InvalidArgument("to is below from");
  return absl::OkStatus();
}

absl::Status SourceBook::Impl::CheckKeyEvent(const KeyEvent& event) const {
  const Slot* slot = Find(event.source);
  if (slot == nullptr) return NotFound("source {} is not registered", event.source);
  const auto& keys = slot->source->keys;
  if (event.event == KeyEvent::Event::kWindow && event.source == origin)
    return FailedPrecondition("the O-Node's own key has no window to narrow: it rolls by adding a version");
  if (event.event != KeyEvent::Event::kVersion) {
    if (keys.contains(event.version)) return absl::OkStatus();
    return NotFound("source {} has no key version {}", event.source, event.version);
  }
  RETURN_IF_ERROR(CheckKeyStatement(event.key));
  if (event.key.version <= keys.rbegin()->first) {
    return FailedPrecondition("key version {}: source {} has version {}, and versions rise", event.key.version,
                              event.source, keys.rbegin()->first);
  }
  const bool was_ed25519 = std::any_of(
      keys.begin(), keys.end(), [](const auto& key) { return key.second.statement.suite == frame::Suite::kEd25519; });
  if (was_ed25519 && event.key.suite != frame::Suite::kEd25519) {
    return FailedPrecondition(
        "source {} has signed with Ed25519; a key that its verifier holds too is refused for ever", event.source);
  }
  return absl::OkStatus();
}

absl::Status SourceBook::CheckSourceEvent(const SourceEvent& event) const {
  return impl_->CheckSourceEvent(event);
}
absl::Status SourceBook::CheckKeyEvent(const KeyEvent& event) const {
  return impl_->CheckKeyEvent(event);
}

// ---- an entry, before it is folded ----

namespace {

template <typename Checked>
Checked Broken(typename Checked::Rule rule, std::string detail) {
  Checked out;
  out.broken = rule;
  out.detail = std::move(detail);
  return out;
}

std::string SequenceDetail(const Source& source, const Placement& placement, std::uint64_t epoch,
                           std::uint64_t number) {
  const std::string& name = source.registration.source;
  switch (placement.where) {
    case Placement::Where::kAfterGap:
      return fmt::format("{} goes to number {} of epoch {} without a gap entry for {} to {} of epoch {}", name, number,
                         epoch, placement.gaps[0].from, placement.gaps[0].to, placement.gaps[0].epoch);
    case Placement::Where::kHeld:
      return fmt::format("number {} of epoch {} of {} is in the chain already", number, epoch, name);
    default:
      return fmt::format("number {} of epoch {} of {} cannot come here: {}", number, epoch, name,
                         frame::ReasonName(placement.reason));
  }
}

}  // namespace

// Entry 0: the O-Node's own registration, by the key that it names.
SourceBook::Checked SourceBook::Impl::CheckFirst(const Entry& entry, const frame::Frame& frame,
                                                 const std::optional<frame::Value>& payload) const {
  const auto broken = [](std::string detail) {
    return Broken<Checked>(Checked::Rule::kSource,
                           "the first entry is not the O-Node's own registration: " + std::move(detail));
  };
  const EntryHeader& header = entry.header;
  if (header.spelling != frame::Spelling::kV2 || frame.header.type != Type::kSourceEvent || !payload ||
      frame.header.source_id != frame::SourceIdOf(origin)) {
    return broken("it is no source event of " + origin);
  }
  auto event = ParseSourceEvent(*payload);
  if (!event.ok()) return broken(std::string(Message(event.status())));
  if (event->event != SourceEvent::Event::kRegistered || event->source != origin)
    return broken("it registers something else");
  if (const absl::Status status = CheckRegistrationEvent(*event); !status.ok())
    return broken(std::string(Message(status)));
  const Placement placement = PlaceFrame(Channel{}, frame.header, header.source_epoch, ReceiptOf(header));
  if (placement.where != Placement::Where::kNext) return broken("it is not number 1 of an epoch of its time");
  Source self;
  self.registration = *event->registration;
  self.keys[self.registration.key.version].statement = self.registration.key;
  const std::string why = WhyNotAllowed(self, entry, frame, Statement{}, payload, true);
  if (!why.empty()) return broken(why);
  Checked out;
  out.control = *std::move(event);
  return out;
}

// Key, suite, standing and result byte of an entry; empty when all is as it must be.
std::string SourceBook::Impl::WhyNotAllowed(const Source& source, const Entry& entry, const frame::Frame& frame,
                                            const Statement& statement, const std::optional<frame::Value>& payload,
                                            bool content) const {
  const EntryHeader& header = entry.header;
  const UnixNanos receipt = ReceiptOf(header);
  bool admitted_late = false;
  Reason reason = CheckStanding(source, frame.header);
  if (reason == Reason::kNone) {
    reason = CheckKeyVersion(source, header.key_version, frame.header, header.source_epoch, receipt, &admitted_late);
  }
  if (reason != Reason::kNone) {
    return fmt::format("a frame of {} under key version {} was to be refused: {}", source.registration.source,
                       header.key_version, frame::ReasonName(reason));
  }
  std::uint8_t want = HeaderFlags(source, frame.header, header.source_epoch, receipt);
  if (admitted_late) want |= kAdmittedLate;
  if (content || SteersChain(frame.header.type)) {
    want = static_cast<std::uint8_t>(want | statement.flags);
    if (payload && SpeaksForStrangers(source, frame.header.type, *payload)) want |= kScopeViolation;
  } else {
    want = static_cast<std::uint8_t>(want | (header.result & kContentFlags));
  }
  if (want == header.result) return "";
  return fmt::format("the result byte is {:#04x}, {:#04x} is right", header.result, want);
}

SourceBook::Checked SourceBook::Impl::CheckOwnGap(Gap gap, UnixNanos receipt) const {
  const Slot* about = Find(gap.source);
  if (about == nullptr || gap.source == origin || gap.why != Gap::Why::kMissing) {
    return Broken<Checked>(Checked::Rule::kSource,
                           "a gap entry of the O-Node names a registered source and reason MISSING");
  }
  if (std::string why = WhyNoGap(*about->channel, gap, receipt); !why.empty()) {
    return Broken<Checked>(Checked::Rule::kSequence, gap.source + ": " + why);
  }
  Checked out;
  out.control = std::move(gap);
  return out;
}

// The payload of an entry of a type that steers the chain. What the O-Node says must parse and be possible; what others
// say has effect where it parses.
SourceBook::Checked SourceBook::Impl::ReadControl(const Source& source, const Entry& entry, Type type,
                                                  const std::optional<frame::Value>& payload) const {
  const bool own = IsOwn(source);
  Checked out;
  if ((entry.header.result & kContentFlags) != 0 || !payload) {
    return own ? Broken<Checked>(Checked::Rule::kSource, "the O-Node's own entry is out of scope or not I-JSON") : out;
  }
  const auto take = [&](auto parsed, absl::Status (Impl::*check)(const std::decay_t<decltype(*parsed)>&) const) {
    absl::Status status = parsed.status();
    if (status.ok() && check != nullptr) status = (this->*check)(*parsed);
    if (status.ok()) {
      out.control = *std::move(parsed);
    } else if (own) {
      out = Broken<Checked>(Checked::Rule::kSource, std::string(Message(status)));
    }
  };
  switch (type) {
    case Type::kSourceEvent:
      if (own) take(ParseSourceEvent(*payload), &Impl::CheckSourceEvent);
      break;
    case Type::kKeyEvent:
      if (own) take(ParseKeyEvent(*payload), &Impl::CheckKeyEvent);
      break;
    case Type::kAlarmCleared:
      if (own) take(ParseAlarmCleared(*payload), nullptr);
      break;
    case Type::kChannelAlarm:
      take(ParseAlarm(*payload), nullptr);
      break;
    case Type::kHeartbeat:
      take(ParseHeartbeat(*payload), nullptr);
      break;
    default:
      take(ParseGap(*payload), nullptr);
      if (auto* gap = std::get_if<Gap>(&out.control); gap != nullptr && own)
        return CheckOwnGap(std::move(*gap), ReceiptOf(entry.header));
  }
  return out;
}

SourceBook::Checked SourceBook::Impl::Check(const Entry& entry, const frame::Frame& frame, const Statement& statement,
                                            const std::optional<frame::Value>& payload, bool content) const {
  const EntryHeader& header = entry.header;
  if (header.sequence != size || header.received_us < last_received_us) {
    return Broken<Checked>(
        Checked::Rule::kSequence,
        fmt::format("entry {} was to come next, received at {} us or later", size, last_received_us));
  }
  if (size == 0) return CheckFirst(entry, frame, payload);
  const Slot* slot = Find(header.source);
  const bool v2 = header.spelling == frame::Spelling::kV2;
  if (slot == nullptr || (v2 && slot->source->id != frame.header.source_id)) {
    return Broken<Checked>(Checked::Rule::kSource, "its source is not registered");
  }
  const Source& source = *slot->source;
  const Placement placement = PlaceFrame(*slot->channel, frame.header, header.source_epoch, ReceiptOf(header));
  if (placement.where != Placement::Where::kNext && placement.where != Placement::Where::kLate) {
    return Broken<Checked>(Checked::Rule::kSequence,
                           SequenceDetail(source, placement, header.source_epoch, header.source_sequence));
  }
  if (std::string why = WhyNotAllowed(source, entry, frame, statement, payload, content); !why.empty()) {
    return Broken<Checked>(Checked::Rule::kSource, std::move(why));
  }
  if (!SteersChain(frame.header.type)) return Checked{};
  return ReadControl(source, entry, frame.header.type, payload);
}

}  // namespace virp::chain
