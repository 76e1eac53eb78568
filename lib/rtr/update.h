// The records of one answer on the router's side, until its End of Data says that they count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/rtr/pdu.h"
#include "lib/vrp/payload.h"

namespace virp::rtr {

// A fault that was found when the PDU was gone: with the PDU, made again.
struct LateFault {
  Fault fault;
  std::string pdu;
};

// Not thread-safe.
class Update {
 public:
  struct Rules {
    std::uint8_t version = 0;
    bool order = false;  // what is out of the version's order is a fault (11), or (7) when it is the same again
    bool strict = true;  // announcing what is there (7) and withdrawing what is not (6) are faults; else ignored
    bool keep = true;    // false: records are counted and forgotten
  };
  explicit Update(Rules rules) : rules_(rules) {}

  std::optional<Fault> Add(const Ipv4Prefix& pdu) { return AddTo(vrps4_, pdu.vrp, pdu.announce, PduType::kIpv4Prefix); }
  std::optional<Fault> Add(const Ipv6Prefix& pdu) { return AddTo(vrps6_, pdu.vrp, pdu.announce, PduType::kIpv6Prefix); }
  std::optional<Fault> Add(const RouterKey& pdu) {
    return AddTo(router_keys_, pdu.Value(), pdu.announce, PduType::kRouterKey);
  }
  std::optional<Fault> Add(const Aspa& pdu) { return AddTo(aspas_, pdu.Value(), pdu.announce, PduType::kAspa); }

  // Makes `table` what it is behind the update, record by record in the order in which they came. On a fault the table
  // is lost. Once.
  std::optional<LateFault> ApplyTo(vrp::Payloads& table);

  std::uint64_t announced() const { return announced_; }
  std::uint64_t withdrawn() const { return withdrawn_; }

 private:
  template <typename T>
  struct Received {
    std::vector<T> records;
    std::vector<bool> withdrawals;  // beside the records
    bool plain = true;              // announcements only, strictly in canonical order
  };
  template <typename T>
  std::optional<Fault> AddTo(Received<T>& received, T record, bool announce, PduType type);
  template <typename T>
  std::optional<Fault> CheckOrder(const Received<T>& received, const T& record, bool announce, PduType type) const;
  template <typename T>
  std::optional<LateFault> ApplyTo(Received<T>& received, std::vector<T>& set);

  const Rules rules_;
  Received<vrp::Vrp4> vrps4_;
  Received<vrp::Vrp6> vrps6_;
  Received<vrp::RouterKey> router_keys_;
  Received<vrp::Aspa> aspas_;
  std::uint8_t last_type_ = 0;
  std::uint64_t announced_ = 0;
  std::uint64_t withdrawn_ = 0;
};

}  // namespace virp::rtr
