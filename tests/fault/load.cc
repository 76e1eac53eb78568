#include "tests/fault/load.h"

#include <fmt/format.h>

#include <algorithm>

namespace virp::fault {

using namespace std::chrono_literals;

unsigned Pace::Wait() {
  if (last_ == std::chrono::steady_clock::time_point()) last_ = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(10ms);
  const auto now = std::chrono::steady_clock::now();
  owed_ = std::min(owed_ + rate_ * std::chrono::duration<double>(now - last_).count(), rate_);
  last_ = now;
  const auto due = static_cast<unsigned>(owed_);
  owed_ -= due;
  return due;
}

std::string PathPayload(std::string_view by, std::uint64_t number) {
  return fmt::format(
      R"({{"domain":"bgp","vrf":"default","peer":"edge-b","peer_addr":"192.0.2.2","peer_as":64501,"local_as":64500,"router_id":"{}","rib":"adj-in-pre",)"
      R"("path_id":0,"prefix":"10.{}.{}.0/24","afi":1,"safi":1,"event":"route_announce","nexthop":"192.0.2.2","as_path":"64501 64510","origin":"IGP",)"
      R"("med":0,"local_pref":100,"communities":[],"said":"{}/{}"}})",
      testutil::ServiceLab::kRouterId, number >> 8 & 0xff, number & 0xff, by, number);
}

Load::Load(testutil::ServiceLab& lab, const Rates& rates) {
  using testutil::ServiceLab;
  if (rates.daemon != 0) producers_.push_back(MakeFrameProducer(lab, ServiceLab::kDaemon, rates.daemon));
  if (rates.native != 0) producers_.push_back(MakeFrameProducer(lab, ServiceLab::kNative, rates.native));
  for (int program = 0; program < 2 && rates.submit != 0; ++program)
    producers_.push_back(MakeSubmitter(lab, rates.submit / 2, program));
  if (rates.direct != 0) producers_.push_back(MakeDirectDeliverer(lab, rates.direct));
  if (rates.bmp != 0) producers_.push_back(MakeBmpRouter(lab, rates.bmp));
}

Load::~Load() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

void Load::Start() {
  started_ = std::chrono::steady_clock::now();
  for (const auto& producer : producers_) {
    threads_.emplace_back([at = producer.get()](const std::stop_token& stop) { at->Run(stop); });
  }
}

void Load::Stop() {
  ran_ += std::chrono::steady_clock::now() - started_;
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();  // joins
}

std::uint64_t Load::offered() const {
  std::uint64_t all = 0;
  for (const auto& producer : producers_) all += producer->offered();
  return all;
}

double Load::per_second() const {
  return ran_.count() == 0 ? 0 : static_cast<double>(offered()) / ran_.count();
}

Ledger Load::ledger() const {
  Ledger out;
  for (const auto& producer : producers_) producer->Report(out);
  return out;
}

}  // namespace virp::fault
