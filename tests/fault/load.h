// Load on a service_lab as the real world makes it, and the ledger of all that was sent and answered: a routing daemon
// with published frames on the Unix socket, a native producer on frame TCP, a program that Submits, a deliverer of its
// own at the O-Node, a router that speaks BMP. None of them slows down when services die.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "lib/base/bytes.h"
#include "tests/testutil/service_lab.h"

namespace virp::fault {

// What is owed. The judge (judge.h) holds it against the chain.
struct Ledger {
  struct Submitted {
    std::uint64_t epoch = 0, sequence = 0;
    Hash digest{};  // of the frame, as the receipt says
  };
  struct Delivered {
    std::uint64_t chain_sequence = 0;
    Hash leaf{};
    std::string frame;
  };
  struct Sent {
    std::uint64_t epoch = 0;  // 0: version 1, whose epoch is found out from the chain
    std::uint64_t last = 0;   // numbers 1 to this were sent
  };
  std::vector<std::vector<Submitted>> submitted;  // by program, in the order of their answers
  std::vector<Delivered> delivered;               // in the order of their answers
  struct Ack {
    std::chrono::steady_clock::time_point at;
    std::chrono::duration<double> took{};  // since the frame was made
  };
  std::vector<Ack> acks;             // of `delivered`
  std::map<std::string, Sent> sent;  // by source
  // The router's own table: peer address and prefix to the AS that it was learnt from last.
  std::map<std::pair<std::string, std::string>, std::uint32_t> routes;
  std::vector<std::string> peers_up;
};

struct Rates {  // observations per second; 0: not at all
  unsigned daemon = 900, native = 500, submit = 400, direct = 200, bmp = 300;
  unsigned all() const { return daemon + native + submit + direct + bmp; }
};

class Producer {
 public:
  virtual ~Producer() = default;
  // Until `stop`. Then it ends what it has begun: connects once more if it must, says one last thing, waits for
  // answers.
  virtual void Run(const std::stop_token& stop) = 0;
  virtual void Report(Ledger& ledger) const = 0;  // while Run does not run
  std::uint64_t offered() const { return offered_; }

 protected:
  std::atomic<std::uint64_t> offered_{0};  // observations that it made so far
};

class Load {
 public:
  // `lab` outlives it, and was started.
  Load(testutil::ServiceLab& lab, const Rates& rates);
  ~Load();

  void Start();
  // When everything is up: returns when all producers have said their last and had their answers, or gave up after half
  // a minute.
  void Stop();
  double per_second() const;  // observations, while it ran
  std::uint64_t offered() const;
  Ledger ledger() const;  // while it does not run

 private:
  std::vector<std::unique_ptr<Producer>> producers_;
  std::vector<std::jthread> threads_;
  std::chrono::steady_clock::time_point started_{};
  std::chrono::duration<double> ran_{0};
};

// The producers, one each (load_*.cc).
std::unique_ptr<Producer> MakeFrameProducer(testutil::ServiceLab& lab, const char* source, unsigned rate);
std::unique_ptr<Producer> MakeSubmitter(testutil::ServiceLab& lab, unsigned rate, int number);
std::unique_ptr<Producer> MakeDirectDeliverer(testutil::ServiceLab& lab, unsigned rate);
std::unique_ptr<Producer> MakeBmpRouter(testutil::ServiceLab& lab, unsigned rate);

// How many observations are due: `rate` a second since the first call, in steps of about ten milliseconds.
class Pace {
 public:
  explicit Pace(unsigned rate) : rate_(rate) {}
  unsigned Wait();  // sleeps; 0 to a second's worth

 private:
  const double rate_;
  std::chrono::steady_clock::time_point last_{};
  double owed_ = 0;
};

// A path of router edge-a that nobody else says: `number` and `by` make it unique.
std::string PathPayload(std::string_view by, std::uint64_t number);

}  // namespace virp::fault
