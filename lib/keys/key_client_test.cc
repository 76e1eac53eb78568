#include "lib/keys/key_client.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>

#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "tests/testutil/temp_dir.h"
#include "virp/keymgr/v1/observation_key.grpc.pb.h"

namespace virp::keys {
namespace {

using ::testing::HasSubstr;
namespace pb = ::virp::keymgr::v1;
using std::chrono::steady_clock;

// A manager that says what the test tells it.
class FakeManager final : public pb::ObservationKeyService::Service {
 public:
  ~FakeManager() override { Down(); }

  void Up() {
    {
      const MutexLock lock(mutex_);
      stopping_ = false;
    }
    int port = port_;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    port_ = port;
  }
  void Down() {
    if (server_ == nullptr) return;
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  void Say(pb::WatchObservationKeysResponse message) {
    const MutexLock lock(mutex_);
    full_ = std::move(message);
    ++said_;
    changed_.notify_all();
  }
  void Refuse(grpc::Status status) {
    const MutexLock lock(mutex_);
    refuse_ = std::move(status);
  }
  void RefuseReports(grpc::Status status) {
    const MutexLock lock(mutex_);
    refuse_reports_ = std::move(status);
  }
  int reports() const { return reports_; }
  int registrations() const { return registrations_; }

  grpc::Status WatchObservationKeys(grpc::ServerContext* context, const pb::WatchObservationKeysRequest*,
                                    grpc::ServerWriter<pb::WatchObservationKeysResponse>* writer) override {
    std::uint64_t sent = 0;
    const MutexLock lock(mutex_);
    if (!refuse_.ok()) return refuse_;
    while (!stopping_ && !context->IsCancelled()) {
      if (sent != said_) {
        sent = said_;
        if (!writer->Write(full_)) break;
      }
      changed_.wait_for(mutex_, std::chrono::milliseconds(20));
    }
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "going down");
  }
  grpc::Status RegisterPublicKey(grpc::ServerContext*, const pb::RegisterPublicKeyRequest* request,
                                 pb::RegisterPublicKeyResponse*) override {
    EXPECT_EQ(request->source(), "a");
    EXPECT_FALSE(request->request_id().empty());
    ++registrations_;
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "KEY_ORDER: something waits");
  }
  grpc::Status ReportObservationKeys(grpc::ServerContext*, const pb::ReportObservationKeysRequest* request,
                                     pb::ReportObservationKeysResponse*) override {
    const MutexLock lock(mutex_);
    if (!refuse_reports_.ok()) return refuse_reports_;
    reports_ += request->known_size();
    return grpc::Status::OK;
  }

 private:
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::atomic<int> reports_{0}, registrations_{0};
  Mutex mutex_;
  std::condition_variable_any changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status refuse_ ABSL_GUARDED_BY(mutex_), refuse_reports_ ABSL_GUARDED_BY(mutex_);
  pb::WatchObservationKeysResponse full_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t said_ ABSL_GUARDED_BY(mutex_) = 0;
};

pb::WatchObservationKeysResponse ListOf(const std::string& name) {
  pb::WatchObservationKeysResponse message;
  message.set_restart(true);
  message.set_complete(true);
  pb::SourceKeys& source = *message.add_sources();
  source.set_source(name);
  source.set_first_version(1);
  pb::KeyMaterial& version = *source.add_versions();
  version.set_version(1);
  version.set_suite(pb::KEY_SUITE_HMAC_SHA256);
  version.set_secret(std::string(32, 'k'));
  version.set_may_sign(true);
  return message;
}

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = steady_clock::now() + std::chrono::seconds(30);
  while (steady_clock::now() < deadline) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

class KeyClientTest : public ::testing::Test {
 protected:
  void Start(std::vector<std::string> addresses) {
    KeyClientOptions options;
    options.addresses = std::move(addresses);
    options.report_interval = std::chrono::milliseconds(10);
    options.backoff_min = options.backoff_max = std::chrono::milliseconds(20);
    options.known = [this] {
      const MutexLock lock(mutex_);
      return known_;
    };
    options.made = [this]() -> absl::StatusOr<std::vector<Registration>> {
      ++asked_;
      return std::vector<Registration>{{"a", 2, std::string(32, 'p'), std::string(64, 's'), ""}};
    };
    options.on_change = [this](const KeyClientStatus& now) {
      const MutexLock lock(mutex_);
      changes_.push_back(now);
    };
    client_ = std::make_unique<KeyClient>(
        options,
        [](const std::string& address) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
          return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
        },
        *keys_);
    client_->Start();
  }
  void Know(std::vector<KnownVersion> known) {
    const MutexLock lock(mutex_);
    known_ = std::move(known);
  }

  const testutil::TempDir dir_;
  FakeManager manager_;
  std::unique_ptr<ManagedKeys> keys_ = *ManagedKeys::Open("");
  std::atomic<int> asked_{0};
  Mutex mutex_;
  std::vector<KnownVersion> known_ ABSL_GUARDED_BY(mutex_);
  std::vector<KeyClientStatus> changes_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<KeyClient> client_;
};

TEST_F(KeyClientTest, TakesListsAndNewsAndGoesOnWithTheLastWhileTheManagerIsAway) {
  manager_.Up();
  manager_.Say(ListOf("a"));
  Start({manager_.address()});
  ASSERT_TRUE(Eventually([&] { return keys_->Has("a"); }));
  EXPECT_TRUE(Eventually([&] { return client_->status().connected_to == manager_.address(); }));
  manager_.Say(ListOf("b"));
  ASSERT_TRUE(Eventually([&] { return keys_->Has("b"); }));
  manager_.Down();
  ASSERT_TRUE(Eventually([&] { return client_->status().connected_to.empty(); }));
  EXPECT_TRUE(keys_->Has("b"));
  EXPECT_FALSE(client_->status().problem.empty());
  manager_.Say(ListOf("c"));
  manager_.Up();
  ASSERT_TRUE(Eventually([&] { return keys_->Has("c"); }));
  EXPECT_TRUE(Eventually([&] { return client_->status().problem.empty(); })) << client_->status().problem;
}

TEST_F(KeyClientTest, GoesToTheManagerThatIsActive) {
  FakeManager other;
  other.Refuse(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "NOT_ACTIVE: another manager is"));
  other.Up();
  manager_.Up();
  manager_.Say(ListOf("a"));
  Start({other.address(), manager_.address()});
  ASSERT_TRUE(Eventually([&] { return keys_->Has("a"); }));
  EXPECT_TRUE(Eventually([&] { return client_->status().connected_to == manager_.address(); }));
}

TEST_F(KeyClientTest, SaysWhyThereIsNoList) {
  manager_.Refuse(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "SEALED: no key-encryption key"));
  manager_.Up();
  Start({manager_.address()});
  ASSERT_TRUE(Eventually([&] { return !client_->status().problem.empty(); }));
  EXPECT_THAT(client_->status().problem, HasSubstr("no key-encryption key"));
  EXPECT_THAT(client_->status().problem, HasSubstr(manager_.address()));
}

TEST_F(KeyClientTest, ReportsWhatIsNewOnceAndAllOfItToTheNextManager) {
  Know({{"a", 1, 5, false, std::string(32, 'c')}, {"b", 1, 5, false, std::string(32, 'd')}});
  manager_.Up();
  manager_.Say(ListOf("a"));
  Start({manager_.address()});
  ASSERT_TRUE(Eventually([&] { return manager_.reports() == 2; }));
  Know({{"a", 1, 9, true, std::string(32, 'c')}, {"b", 1, 9, false, std::string(32, 'd')}});
  ASSERT_TRUE(Eventually([&] { return manager_.reports() == 3; })) << "only what changed";
  manager_.Down();
  manager_.Up();
  ASSERT_TRUE(Eventually([&] { return manager_.reports() == 5; }));
}

TEST_F(KeyClientTest, RegistersWhatTheManagerWaitsForAndSaysWhyItWasRefused) {
  manager_.Up();
  manager_.Say(ListOf("a"));
  Start({manager_.address()});
  ASSERT_TRUE(Eventually([&] { return client_->status().lists == 1; }));
  EXPECT_EQ(manager_.registrations(), 0);
  auto wanted = ListOf("a");
  wanted.mutable_sources(0)->set_wanted_version(2);
  manager_.Say(wanted);
  ASSERT_TRUE(Eventually([&] { return client_->status().problem.find("something waits") != std::string::npos; }));
  // It is asked what to register many times a second, and says so every two.
  asked_ = 0;
  ASSERT_TRUE(Eventually([&] { return asked_ > 10; }));
  EXPECT_LE(manager_.registrations(), 2);
  EXPECT_THAT(client_->status().problem, HasSubstr("something waits")) << "it still does";
  manager_.Say(ListOf("a"));
  EXPECT_TRUE(Eventually([&] { return client_->status().problem.empty(); })) << "nothing is wanted any more";
}

TEST_F(KeyClientTest, AListThatCanBeKeptAgainIsNoProblemAnyMore) {
  keys_ = *ManagedKeys::Open(dir_.File("later/kept-keys"));
  manager_.Up();
  manager_.Say(ListOf("a"));
  Start({manager_.address()});
  ASSERT_TRUE(Eventually([&] { return client_->status().problem.find("not kept") != std::string::npos; }));
  ASSERT_TRUE(MakeDirectory(dir_.File("later")).ok());
  EXPECT_TRUE(Eventually([&] { return client_->status().problem.empty(); })) << client_->status().problem;
}

TEST_F(KeyClientTest, AProblemGoesWhenWhatItIsAboutSucceedsAndNotBefore) {
  Know({{"a", 1, 5, false, std::string(32, 'c')}});
  manager_.RefuseReports(grpc::Status(grpc::StatusCode::UNAVAILABLE, "no room for reports"));
  manager_.Up();
  manager_.Say(ListOf("a"));
  Start({manager_.address()});
  const auto refused = [this] { return client_->status().problem.find("no room for reports") != std::string::npos; };
  ASSERT_TRUE(Eventually(refused));
  auto bad = ListOf("b");
  bad.mutable_sources(0)->mutable_versions(0)->set_secret("short");
  manager_.Say(bad);
  ASSERT_TRUE(Eventually([&] { return client_->status().problem.find("source b") != std::string::npos; }));
  EXPECT_TRUE(refused()) << "a list says nothing about reports";
  manager_.RefuseReports(grpc::Status::OK);
  ASSERT_TRUE(Eventually([&] { return !refused(); })) << "nor needs the client another list";
  EXPECT_THAT(client_->status().problem, HasSubstr("source b")) << "nor a report about lists";
  manager_.Say(ListOf("b"));
  EXPECT_TRUE(Eventually([&] { return client_->status().problem.empty(); })) << client_->status().problem;
}

TEST_F(KeyClientTest, TellsWhenTheManagerComesAndGoes) {
  manager_.Up();
  manager_.Say(ListOf("a"));
  Start({manager_.address()});
  const auto last = [this] {
    const MutexLock lock(mutex_);
    return changes_.empty() ? KeyClientStatus{} : changes_.back();
  };
  ASSERT_TRUE(Eventually([&] { return last().connected_to == manager_.address(); }));
  manager_.Down();
  ASSERT_TRUE(Eventually([&] { return last().connected_to.empty() && !last().problem.empty(); }));
}

TEST_F(KeyClientTest, StopsWhileTheStreamIsSilent) {
  manager_.Up();
  manager_.Say(ListOf("a"));
  Start({manager_.address()});
  ASSERT_TRUE(Eventually([&] { return keys_->Has("a"); }));
  client_->Stop();
  client_->Stop();
}

TEST_F(KeyClientTest, WithoutAddressesThereIsNothingToDo) {
  Start({});
  EXPECT_EQ(client_->status().lists, 0U);
}

}  // namespace
}  // namespace virp::keys
