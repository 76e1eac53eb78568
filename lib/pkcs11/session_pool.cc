#include "lib/pkcs11/session_pool.h"

#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/pkcs11/token.h"

namespace virp::pkcs11 {
namespace {

constexpr CK_FLAGS kSessionFlags = CKF_SERIAL_SESSION | CKF_RW_SESSION;

bool RefusesPin(CK_RV code) {
  return code == CKR_PIN_INCORRECT || code == CKR_PIN_INVALID || code == CKR_PIN_LEN_RANGE || code == CKR_PIN_EXPIRED;
}

// A PIN file that is not there must not look like a key that is not there.
absl::Status AsLoginFailure(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kUnavailable) return status;
  absl::Status out = WithCode(status, absl::StatusCode::kFailedPrecondition);
  SetReason(out, kLoginFailed, {{"why", GetReason(status)}});
  return out;
}

}  // namespace

SessionPool::SessionPool(Module module, Options options)
    : module_(std::move(module)), f_(module_.functions()), options_(std::move(options)) {}

SessionPool::~SessionPool() {
  const MutexLock lock(mutex_);
  DropAll();
}

SessionPool::Loss SessionPool::LossOf(const absl::Status& status) {
  switch (CodeOf(status)) {
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_USER_NOT_LOGGED_IN:
      return Loss::kUntouched;
    case CKR_DEVICE_REMOVED:
    case CKR_DEVICE_ERROR:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_TOKEN_NOT_RECOGNIZED:
    case CKR_SLOT_ID_INVALID:
      return Loss::kUnclear;
    default:
      return Loss::kNone;
  }
}

absl::Status SessionPool::Run(Repeat repeat, const std::function<absl::Status(const Link&)>& use) {
  for (bool again = false;; again = true) {
    auto link = Borrow();
    absl::Status status = link.ok() ? use(*link) : link.status();
    const Loss loss = LossOf(status);
    if (link.ok()) {
      // Before it is returned, so that nobody else gets it.
      if (loss != Loss::kNone) MarkLost(link->generation, CodeOf(status) != CKR_USER_NOT_LOGGED_IN);
      // One that failed may have an operation begun in it, which would fail the next.
      Return(*link, status.ok());
    }
    const bool may_repeat = loss == Loss::kUntouched || (loss == Loss::kUnclear && repeat == Repeat::kAlways);
    if (again || !may_repeat || !link.ok()) return status;
  }
}

absl::StatusOr<Link> SessionPool::Borrow() {
  const MutexLock lock(mutex_);
  bool fresh = false;
  while (true) {
    if (!connected_) {
      RETURN_IF_ERROR(Connect());
      fresh = true;
    }
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    if (!idle_.empty()) {
      session = idle_.back();
      idle_.pop_back();
    } else if (lent_ >= limit_) {
      RETURN_IF_ERROR(AwaitSession());
      continue;
    } else {
      const absl::Status opened =
          CkStatus(f_.C_OpenSession(token_.slot, kSessionFlags, nullptr, nullptr, &session), "C_OpenSession");
      if (CodeOf(opened) == CKR_SESSION_COUNT && lent_ != 0) {
        limit_ = lent_;
        continue;
      }
      // The token went while nobody used it.
      if (LossOf(opened) != Loss::kNone && !fresh) {
        connected_ = false;
        stale_are_gone_ = true;
        continue;
      }
      RETURN_IF_ERROR(opened);
    }
    ++lent_;
    ++out_;
    return Link{.f = f_, .session = session, .generation = generation_};
  }
}

void SessionPool::Return(const Link& link, bool reusable) {
  const MutexLock lock(mutex_);
  --out_;
  if (link.generation != generation_) {
    // A handle that went with its token may by now be the number of a new session.
    if (!stale_are_gone_) f_.C_CloseSession(link.session);
    return;
  }
  --lent_;
  if (reusable && connected_)
    idle_.push_back(link.session);
  else if (connected_ || !stale_are_gone_)
    f_.C_CloseSession(link.session);
  returned_.notify_one();
}

void SessionPool::MarkLost(std::uint64_t generation, bool sessions_are_gone) {
  const MutexLock lock(mutex_);
  if (generation != generation_) return;
  connected_ = false;
  stale_are_gone_ = sessions_are_gone;
  returned_.notify_all();
}

absl::Status SessionPool::AwaitSession() {
  const std::uint64_t generation = generation_;
  const auto deadline = std::chrono::steady_clock::now() + options_.patience;
  while (connected_ && generation == generation_ && idle_.empty() && lent_ >= limit_) {
    if (returned_.wait_until(mutex_, deadline) == std::cv_status::timeout && idle_.empty() && lent_ >= limit_) {
      return ResourceExhausted("{}: all {} sessions were busy for {} ms; allow more, or ask the token for less",
                               options_.selector.Describe(), limit_, options_.patience.count());
    }
  }
  return absl::OkStatus();
}

void SessionPool::DropAll() {
  // While no new session is open, an old handle cannot be the number of a new one.
  for (const CK_SESSION_HANDLE session : idle_) f_.C_CloseSession(session);
  idle_.clear();
  if (anchor_ != CK_INVALID_HANDLE) f_.C_CloseSession(std::exchange(anchor_, CK_INVALID_HANDLE));
  connected_ = false;
}

absl::StatusOr<TokenSlot> SessionPool::Search() {
  auto token = FindToken(f_, options_.selector);
  if (token.ok() || token.status().code() != absl::StatusCode::kUnavailable || out_ != 0) return token;
  const auto now = std::chrono::steady_clock::now();
  if (restarted_.has_value() && now - *restarted_ < options_.restart_interval) return token;
  restarted_ = now;
  const absl::Status again = module_.Restart();
  if (again.code() == absl::StatusCode::kFailedPrecondition) return token;
  RETURN_IF_ERROR(again);
  return FindToken(f_, options_.selector);
}

absl::Status SessionPool::Connect() {
  DropAll();
  ++generation_;
  lent_ = 0;
  limit_ = std::max<std::size_t>(1, options_.max_sessions);
  ASSIGN_OR_RETURN(token_, Search());
  const auto named = [this](const absl::Status& status) { return Annotate(status, options_.selector.Describe()); };
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  RETURN_IF_ERROR(
      named(CkStatus(f_.C_OpenSession(token_.slot, kSessionFlags, nullptr, nullptr, &session), "C_OpenSession")));
  anchor_ = session;
  const absl::Status login = named(Login(token_));
  if (!login.ok()) {
    DropAll();
    return AsLoginFailure(login);
  }
  connected_ = true;
  returned_.notify_all();
  return absl::OkStatus();
}

// Tries are counted by the token and lock it in the end, so a PIN that was refused is not tried again before its file
// changes, and the last try is left to people.
absl::Status SessionPool::Login(const TokenSlot& token) {
  if ((token.flags & CKF_USER_PIN_LOCKED) != 0) return CkStatus(CKR_PIN_LOCKED, "login");
  if ((token.flags & CKF_USER_PIN_INITIALIZED) == 0) return CkStatus(CKR_USER_PIN_NOT_INITIALIZED, "login");
  if ((token.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0) {
    return FailedPrecondition("login: the token wants its PIN from a key pad, which no service can use");
  }
  if ((token.flags & CKF_USER_PIN_FINAL_TRY) != 0) {
    return FailedPrecondition(
        "login: one more wrong PIN would lock the token; log in once with its own tool and the right PIN");
  }
  ASSIGN_OR_RETURN(Pin pin, ReadPinFile(options_.pin_file));
  if (refused_pin_ == pin.file) return CkStatus(CKR_PIN_INCORRECT, "login (not tried again)");
  auto* const text = reinterpret_cast<CK_UTF8CHAR_PTR>(pin.text.data());
  const CK_RV code = f_.C_Login(anchor_, CKU_USER, text, pin.text.size());
  if (code == CKR_USER_ALREADY_LOGGED_IN) return absl::OkStatus();  // through another pool in this process
  if (RefusesPin(code)) refused_pin_ = pin.file;
  return CkStatus(code, "C_Login");
}

TokenSlot SessionPool::token() const {
  const MutexLock lock(mutex_);
  return token_;
}

}  // namespace virp::pkcs11
