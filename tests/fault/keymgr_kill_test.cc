// virp-keymgr as it is run, killed by its own disk in the middle of each step of a router key's life. After a restart
// the step was done whole, with its one audit record, or never happened; a repeat finishes it or answers as before; and
// what leaves once leaves once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/check.h"
#include "lib/rpki/key_package.h"
#include "tests/fault/disk.h"
#include "tests/testutil/keymgr_lab.h"
#include "tests/testutil/router_desk.h"
#include "tests/testutil/status_matchers.h"

namespace virp::fault {
namespace {

using namespace std::chrono_literals;
using service::Role;
using testutil::WaitUntil;
using Stub = testutil::RouterDesk::Stub;
namespace v1 = keymgr::v1;

constexpr char kMade[] = "edge-a/64496";  // slot of a router whose keys are made by the manager
constexpr char kOwn[] = "edge-b/64497";   // and of one that makes its own

// Not each write is killed at, and each step begins at another one; in the long run (VIRP_FAULT_ROUNDS) all are.
std::uint32_t Stride() {
  return std::getenv("VIRP_FAULT_ROUNDS") == nullptr ? 7 : 1;
}

struct Step {
  std::string name;  // and request id
  std::function<absl::Status(const std::string& id)> call;
  std::function<bool()> done;
  bool once = false;  // what it gives is given once: a repeat is refused
};

class KeymgrKillTest : public testing::Test {
 protected:
  KeymgrKillTest() {
    keymgr_.process().options().environment = disk_.Environment();
    key_ = std::make_unique<crypto::P256PrivateKey>(*crypto::P256PrivateKey::FromScalar(scalar_.view()));
  }
  static std::vector<std::string> Options(const std::string& folder) {
    auto out = testutil::RouterDesk::Options(folder);
    out.insert(out.end(), {"--lease", "500ms"});
    return out;
  }

  // Audit records of the request.
  int Records(const std::string& id) {
    v1::KeyAdminService::Stub admin(keymgr_.Channel(Role::kReader));
    v1::ListAuditRecordsRequest request;
    request.set_page_size(1'000);
    v1::ListAuditRecordsResponse page;
    int found = 0;
    do {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + 20s);
      const grpc::Status status = admin.ListAuditRecords(&context, request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      if (!status.ok()) return -1;
      for (const v1::AuditRecord& record : page.records()) found += record.request_id() == id ? 1 : 0;
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return found;
  }

  // Kills it at one write after the other until the step comes to its end.
  void Drive(const Step& step) {
    SCOPED_TRACE(step.name);
    EXPECT_FALSE(step.done());
    for (std::uint32_t at = 1 + 2 * steps_++ % Stride(); !HasFatalFailure(); at += Stride()) {
      disk_.control().kill_at = at;
      absl::Status status = step.call(step.name);
      // It may stand by for a moment on a slow machine, or not have come to its own writes yet.
      WaitUntil(20s, [&] {
        if (status.ok() || disk_.control().kill_at == 0) return true;
        status = step.call(step.name);
        return false;
      });
      const bool killed = disk_.control().kill_at.exchange(0) == 0;
      if (!killed) {
        ASSERT_OK(status);
        EXPECT_TRUE(step.done());
        EXPECT_EQ(Records(step.name), 1);
        return;
      }
      ++kills_;
      ASSERT_OK(keymgr_.process().AwaitExit(20s));
      ASSERT_OK(keymgr_.Start());
      const bool done = step.done();
      EXPECT_EQ(Records(step.name), done ? 1 : 0) << "no record, no effect; no effect, no record; write " << at;
      if (status.ok()) EXPECT_TRUE(done) << "acknowledged and lost";
      if (!done) continue;
      const absl::Status again = step.call(step.name);
      EXPECT_EQ(again.ok(), !step.once) << again;
      EXPECT_EQ(Records(step.name), 1) << "a repeat is the same request";
      EXPECT_TRUE(step.done());
      return;
    }
  }

  bool Is(std::string_view slot, std::uint32_t version, const std::function<bool(const v1::RouterKeyVersion&)>& so) {
    const auto found = desk_.Version(slot, version);
    EXPECT_TRUE(found.ok() || absl::IsNotFound(found.status())) << found.status();
    return found.ok() && so(*found);
  }
  bool HasState(std::string_view slot, std::uint32_t version, v1::RouterKeyState state) {
    return Is(slot, version, [&](const auto& one) { return one.state() == state; });
  }
  bool Ordered(std::uint32_t version) {
    v1::GetRouterKeyRequest request;
    request.set_slot(kMade);
    const auto answer = desk_.Ask(&Stub::GetRouterKey, request);
    EXPECT_OK(answer);
    return answer.ok() && answer->slot().ordered() == version;
  }
  bool Registered(const std::string& router) {
    v1::GetRouterRequest request;
    request.set_id(router);
    const absl::Status status = desk_.Ask(&Stub::GetRouter, request).status();
    EXPECT_TRUE(status.ok() || absl::IsNotFound(status)) << status;
    return status.ok();
  }
  v1::RouterCsrState RequestState(const std::string& csr) {
    v1::GetCsrRequest request;
    request.set_id(HexEncode(View(crypto::Sha256(csr))));
    const auto answer = desk_.Ask(&Stub::GetCsr, request);
    EXPECT_TRUE(answer.ok() || absl::IsNotFound(answer.status())) << answer.status();
    return answer.ok() ? answer->request().state() : v1::ROUTER_CSR_STATE_UNSPECIFIED;
  }
  // How far a release from escrow is, as refusals that change nothing tell.
  std::string ReleaseRefusal(const std::string& name) {
    return GetReason(
        desk_.Ask(&Stub::EscrowRelease, desk_.Of<v1::EscrowReleaseRequest>(kOwn, 1), Role::kOperator, name).status());
  }

  // ---- steps ----

  Step Create(std::uint32_t version) {
    return {fmt::format("create-{}", version),
            [this](const std::string& id) { return desk_.Create("edge-a", 64496, id).status(); },
            [this, version] { return Is(kMade, version, [](const auto&) { return true; }); }};
  }
  Step Issue(std::uint32_t version) {
    return {
        fmt::format("issue-{}", version),
        [this, version](const std::string& id) { return desk_.Issue(kMade, version, id); },
        [this, version] { return Is(kMade, version, [](const auto& one) { return one.certificates_size() == 1; }); }};
  }
  Step Export() {
    return {"export-once",
            [this](const std::string& id) {
              const auto package = desk_.Package(kMade, 1, id);
              packages_ += package.ok() ? 1 : 0;
              return package.status();
            },
            [this] { return Is(kMade, 1, [](const auto& one) { return one.released(); }); }, /*once=*/true};
  }
  Step Activate(std::uint32_t version) {
    return {fmt::format("order-{}", version),
            [this, version](const std::string& id) {
              auto request = desk_.Of<v1::ActivateRouterKeyRequest>(kMade, version, id);
              request.set_emergency(true);
              request.set_unconfirmed(true);
              return desk_.Ask(&Stub::ActivateRouterKey, request).status();
            },
            [this, version] { return Ordered(version); }};
  }
  Step Confirm(std::uint32_t version, v1::RouterEvent event, std::function<bool()> done) {
    return {fmt::format("confirm-{}-{}", version, v1::RouterEvent_Name(event)),
            [this, version, event](const std::string& id) {
              auto request = desk_.Of<v1::ConfirmInstallRequest>(kMade, version, id);
              request.set_event(event);
              return desk_.Ask(&Stub::ConfirmInstall, request).status();
            },
            std::move(done)};
  }
  Step Register(const std::string& router, std::uint32_t asn, v1::RouterKeyMethod method,
                v1::RouterExportPolicy policy) {
    return {"register-" + router,
            [=, this](const std::string& id) { return desk_.Register(router, asn, method, policy, id); },
            [this, router] { return Registered(router); }};
  }
  // Until relying parties may have its certificate: an emergency waits for no longer.
  void AwaitPublished(std::uint32_t version) {
    ASSERT_TRUE(WaitUntil(60s, [&] {
      return Is(kMade, version, [](const auto& one) { return one.state() >= v1::ROUTER_KEY_STATE_PUBLISHED; });
    })) << keymgr_.process().log();
  }

  testutil::TestPki pki_;
  const testutil::TempDir published_;
  testutil::KeymgrLab keymgr_{{.binaries = VIRP_BINARY_DIR, .options = Options(published_.path())}, pki_};
  Disk disk_{keymgr_.folder(), /*journal=*/false};
  testutil::RouterDesk desk_{keymgr_};
  const crypto::Secret scalar_ = crypto::Secret::Random(32);  // of edge-b's key
  std::unique_ptr<crypto::P256PrivateKey> key_;
  std::uint32_t steps_ = 0;
  int kills_ = 0, packages_ = 0, releases_ = 0;
};

TEST_F(KeymgrKillTest, AKeyThatIsMadeHere) {
  ASSERT_OK(keymgr_.Start());
  ASSERT_OK(desk_.SetUpAuthority().status());
  Drive(Register("edge-a", 64496, v1::ROUTER_KEY_METHOD_OPERATOR_DRIVEN, v1::ROUTER_EXPORT_POLICY_ONCE));
  Drive(Create(1));
  Drive(Issue(1));
  Drive(Export());
  AwaitPublished(1);
  Drive(Activate(1));
  Drive(Confirm(1, v1::ROUTER_EVENT_SIGNING, [this] { return HasState(kMade, 1, v1::ROUTER_KEY_STATE_ACTIVE); }));
  Drive(Create(2));
  Drive(Issue(2));
  AwaitPublished(2);
  Drive(Activate(2));
  Drive(Confirm(2, v1::ROUTER_EVENT_SIGNING, [this] { return HasState(kMade, 1, v1::ROUTER_KEY_STATE_TWILIGHT); }));
  EXPECT_TRUE(HasState(kMade, 2, v1::ROUTER_KEY_STATE_ACTIVE));
  Drive(Confirm(1, v1::ROUTER_EVENT_REPLACED,
                [this] { return Is(kMade, 1, [](const auto& one) { return one.replaced(); }); }));
  Drive({"revoke",
         [this](const std::string& id) {
           return desk_.Ask(&Stub::RevokeRouterKey, desk_.Of<v1::RevokeRouterKeyRequest>(kMade, 1, id)).status();
         },
         [this] { return Is(kMade, 1, [](const auto& one) { return one.state() >= v1::ROUTER_KEY_STATE_REVOKED; }); }});
  EXPECT_LE(packages_, 1) << "a key that leaves once left again";
  EXPECT_EQ(GetReason(desk_.Package(kMade, 1).status()), "NOT_EXPORTABLE");
  std::cout << kills_ << " kills\n";
  EXPECT_GT(kills_, 10) << "its writes were not counted";
}

TEST_F(KeymgrKillTest, AKeyThatTheRouterMadeAndPutIntoEscrow) {
  ASSERT_OK(keymgr_.Start());
  ASSERT_OK(desk_.SetUpAuthority().status());
  Drive(Register("edge-b", 64497, v1::ROUTER_KEY_METHOD_ROUTER_DRIVEN, v1::ROUTER_EXPORT_POLICY_NEVER));
  const std::string csr = *rpki::MakeRouterRequest(key_->public_key().spki(), 64497, [this](std::string_view message) {
    return key_->SignDigest(crypto::Sha256(message));
  });
  Drive({"enrol",
         [&](const std::string& id) {
           auto request = desk_.Change<v1::SubmitCsrRequest>(id);
           request.set_csr(csr);
           return desk_.Ask(&Stub::SubmitCsr, request, Role::kRouter, "edge-b").status();
         },
         [&] { return RequestState(csr) == v1::ROUTER_CSR_STATE_PENDING; }});
  Drive({"approve",
         [&](const std::string& id) {
           auto request = desk_.Change<v1::ApproveCsrRequest>(id);
           request.set_id(HexEncode(View(crypto::Sha256(csr))));
           return desk_.Ask(&Stub::ApproveCsr, request, Role::kApprover, "second").status();
         },
         [&] { return RequestState(csr) == v1::ROUTER_CSR_STATE_APPROVED; }});
  EXPECT_TRUE(Is(kOwn, 1, [](const auto& one) { return one.certificates_size() == 1; }));
  const auto pkcs8 = rpki::EncodePkcs8(scalar_.view(), key_->public_key().point());
  ASSERT_OK(pkcs8);
  Drive({"deposit",
         [&](const std::string& id) {
           auto request = desk_.Of<v1::EscrowDepositRequest>(kOwn, 1, id);
           request.set_private_key(std::string(pkcs8->view()));
           return desk_.Ask(&Stub::EscrowDeposit, request, Role::kRouter, "edge-b").status();
         },
         [this] { return Is(kOwn, 1, [](const auto& one) { return one.escrowed(); }); }});
  Drive({"request-release",
         [this](const std::string& id) {
           auto request = desk_.Of<v1::RequestEscrowReleaseRequest>(kOwn, 1, id);
           request.set_agent(pki_.Id(Role::kRouter, "edge-b2"));
           return desk_.Ask(&Stub::RequestEscrowRelease, request).status();
         },
         [this] { return ReleaseRefusal("noc-1") == "NOT_APPROVED"; }});
  Drive({"approve-release",
         [this](const std::string& id) {
           auto request = desk_.Of<v1::ApproveEscrowReleaseRequest>(kOwn, 1, id);
           const auto asked = desk_.Version(kOwn, 1);
           if (!asked.ok()) return asked.status();
           request.set_expected(asked->escrow_request().digest());
           return desk_.Ask(&Stub::ApproveEscrowRelease, request, Role::kApprover, "second").status();
         },
         [this] { return ReleaseRefusal("noc-2") == "SAME_PERSON"; }});
  Drive({"release",
         [this](const std::string& id) {
           const auto taken = desk_.Ask(&Stub::EscrowRelease, desk_.Of<v1::EscrowReleaseRequest>(kOwn, 1, id));
           releases_ += taken.ok() ? 1 : 0;
           return taken.status();
         },
         [this] { return Is(kOwn, 1, [](const auto& one) { return one.released(); }); }, /*once=*/true});
  EXPECT_LE(releases_, 1);
  EXPECT_EQ(ReleaseRefusal("noc-1"), "NOT_REQUESTED") << "taken once";
  std::cout << kills_ << " kills\n";
  EXPECT_GT(kills_, 5) << "its writes were not counted";
}

}  // namespace
}  // namespace virp::fault
