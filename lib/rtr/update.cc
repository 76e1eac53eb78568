#include "lib/rtr/update.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <type_traits>
#include <utility>

#include "lib/rtr/wire.h"

namespace virp::rtr {
namespace {

template <typename T>
constexpr bool kIsPrefix = std::is_same_v<T, vrp::Vrp4> || std::is_same_v<T, vrp::Vrp6>;

template <typename T>
LateFault About(ErrorCode code, std::string_view text, std::uint8_t version, bool announce, const T& record) {
  LateFault out{.fault = {code, text}, .pdu = std::string(wire::SizeOf(record, announce), '\0')};
  wire::Put(out.pdu.data(), version, announce, record);
  return out;
}

// What an update leaves of one record.
template <typename T>
struct Outcome {
  const T* before = nullptr;  // in the table
  const T* after = nullptr;   // in the table or in the update

  // False when the table has what is announced, or lacks what is withdrawn. An ASPA is replaced by the next one.
  bool Take(const T& record, bool announce) {
    const bool fits = announce ? std::is_same_v<T, vrp::Aspa> || after == nullptr : after != nullptr;
    if (fits) after = announce ? &record : nullptr;
    return fits;
  }
};

template <typename T>
void MoveRun(std::vector<T>& out, typename std::vector<T>::iterator from, typename std::vector<T>::iterator to) {
  out.insert(out.end(), std::make_move_iterator(from), std::make_move_iterator(to));
}

constexpr auto kLess = [](const auto& a, const auto& b) { return vrp::Order(a, b) < 0; };

}  // namespace

template <typename T>
std::optional<Fault> Update::AddTo(Received<T>& received, T record, bool announce, PduType type) {
  if (rules_.order) {
    if (auto fault = CheckOrder(received, record, announce, type)) return fault;
  }
  last_type_ = static_cast<std::uint8_t>(type);
  ++(announce ? announced_ : withdrawn_);
  auto& records = received.records;
  if (!rules_.keep) {
    // The last one is enough for the order.
    records.clear();
    received.withdrawals.clear();
  }
  received.plain = received.plain && announce && (records.empty() || kLess(records.back(), record));
  records.push_back(std::move(record));
  received.withdrawals.push_back(!announce);
  return std::nullopt;
}

template <typename T>
std::optional<Fault> Update::CheckOrder(const Received<T>& received, const T& record, bool announce,
                                        PduType type) const {
  if (static_cast<std::uint8_t>(type) < last_type_) return Fault{ErrorCode::kOrdering, "types are not in order"};
  if (received.records.empty()) return std::nullopt;
  const WithdrawalOrder& withdrawals = RulesOf(rules_.version).withdrawals;
  const bool announced_before = !received.withdrawals.back();
  if (announced_before != announce) {
    if (announced_before == withdrawals.behind_announcements) return std::nullopt;
    return Fault{ErrorCode::kOrdering, "announcements and withdrawals of a type are not in order"};
  }
  const T& before = received.records.back();
  const bool reversed = kIsPrefix<T> && !announce && withdrawals.prefixes_reversed;
  const auto order = reversed ? vrp::Order(record, before) : vrp::Order(before, record);
  if (order < 0) return std::nullopt;
  if (order > 0) return Fault{ErrorCode::kOrdering, "records of a type are not in order"};
  if (announce) return Fault{ErrorCode::kDuplicateAnnouncement, "the same record twice in one answer"};
  return Fault{ErrorCode::kUnknownWithdrawal, "the same record withdrawn twice in one answer"};
}

template <typename T>
std::optional<LateFault> Update::ApplyTo(Received<T>& received, std::vector<T>& set) {
  std::vector<T>& records = received.records;
  if (records.empty()) return std::nullopt;
  if (received.plain && set.empty()) {
    set = std::move(records);
    return std::nullopt;
  }
  std::vector<std::uint32_t> sorted(records.size());
  std::iota(sorted.begin(), sorted.end(), 0U);
  std::sort(sorted.begin(), sorted.end(), [&](std::uint32_t a, std::uint32_t b) {
    const auto order = vrp::Order(records[a], records[b]);
    return order != 0 ? order < 0 : a < b;  // of one record, as they came
  });
  std::vector<T> out;
  out.reserve(set.size() + records.size());
  auto rest = set.begin();
  for (std::size_t i = 0; i < sorted.size();) {
    const T& key = records[sorted[i]];
    const auto at = std::lower_bound(rest, set.end(), key, kLess);
    Outcome<T> outcome;
    if (at != set.end() && !kLess(key, *at)) outcome.before = outcome.after = &*at;
    for (; i < sorted.size() && !kLess(key, records[sorted[i]]); ++i) {
      const T& record = records[sorted[i]];
      const bool announce = !received.withdrawals[sorted[i]];
      if (outcome.Take(record, announce) || !rules_.strict) continue;
      return announce ? About(ErrorCode::kDuplicateAnnouncement, "the record is there", rules_.version, true, record)
                      : About(ErrorCode::kUnknownWithdrawal, "the record is not there", rules_.version, false, record);
    }
    MoveRun(out, rest, at);
    rest = outcome.before != nullptr ? std::next(at) : at;
    if (outcome.after != nullptr) out.push_back(*outcome.after);
  }
  MoveRun(out, rest, set.end());
  set = std::move(out);
  return std::nullopt;
}

std::optional<LateFault> Update::ApplyTo(vrp::Payloads& table) {
  if (!rules_.keep) return std::nullopt;
  if (auto fault = ApplyTo(vrps4_, table.vrps4)) return fault;
  if (auto fault = ApplyTo(vrps6_, table.vrps6)) return fault;
  if (auto fault = ApplyTo(router_keys_, table.router_keys)) return fault;
  return ApplyTo(aspas_, table.aspas);
}

template std::optional<Fault> Update::AddTo(Received<vrp::Vrp4>&, vrp::Vrp4, bool, PduType);
template std::optional<Fault> Update::AddTo(Received<vrp::Vrp6>&, vrp::Vrp6, bool, PduType);
template std::optional<Fault> Update::AddTo(Received<vrp::RouterKey>&, vrp::RouterKey, bool, PduType);
template std::optional<Fault> Update::AddTo(Received<vrp::Aspa>&, vrp::Aspa, bool, PduType);

}  // namespace virp::rtr
