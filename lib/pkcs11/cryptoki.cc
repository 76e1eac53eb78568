#include "lib/pkcs11/cryptoki.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::pkcs11 {
namespace {

constexpr std::string_view kCodeUrl = "virp.pkcs11/ckr";

struct Meaning {
  CK_RV code;
  std::string_view name;
  absl::StatusCode status;
  std::string_view advice;
};

constexpr std::string_view kOurBug = "the module refuses a call of ours as malformed; report it with the module's name";
constexpr std::string_view kSessionGone = "the session is gone; it is opened again at the next call";
constexpr std::string_view kTokenGone =
    "the token does not answer; see that it is plugged in, or that its network and its daemon are up";
constexpr std::string_view kVanished = "the object is no longer on the token; restore it from the token's backup";
constexpr std::string_view kTokenCannot =
    "the token does not offer this; see its list of mechanisms, and the policy that its maker lets an officer set";
constexpr std::string_view kNotForThat = "the key's attributes do not allow this use";
constexpr std::string_view kNotOurBytes = "these bytes were not made under this key for this use, or are damaged";
constexpr std::string_view kFull = "the token is out of room; destroy keys that are of no use any more";
constexpr std::string_view kModuleTrouble = "the module failed without saying why; see the log of the module";

// PKCS #11 2.40 section 11.1. A code that is not here is Unavailable: who calls may try again.
constexpr auto kMeanings = std::to_array<Meaning>({
    {CKR_CANCEL, "CKR_CANCEL", absl::StatusCode::kUnavailable, "the token's operator cancelled it"},
    {CKR_HOST_MEMORY, "CKR_HOST_MEMORY", absl::StatusCode::kResourceExhausted, "the module is out of memory"},
    {CKR_SLOT_ID_INVALID, "CKR_SLOT_ID_INVALID", absl::StatusCode::kUnavailable, kTokenGone},
    {CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", absl::StatusCode::kUnavailable, kModuleTrouble},
    {CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED", absl::StatusCode::kUnavailable, kModuleTrouble},
    {CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD", absl::StatusCode::kInternal, kOurBug},
    {CKR_NEED_TO_CREATE_THREADS, "CKR_NEED_TO_CREATE_THREADS", absl::StatusCode::kInternal, kOurBug},
    {CKR_CANT_LOCK, "CKR_CANT_LOCK", absl::StatusCode::kFailedPrecondition,
     "the module is not made for threads; ask its maker for one that locks with the system's own mutexes"},
    {CKR_ATTRIBUTE_READ_ONLY, "CKR_ATTRIBUTE_READ_ONLY", absl::StatusCode::kFailedPrecondition,
     "the attribute is fixed for ever"},
    {CKR_ATTRIBUTE_SENSITIVE, "CKR_ATTRIBUTE_SENSITIVE", absl::StatusCode::kFailedPrecondition,
     "the token does not show this"},
    {CKR_ATTRIBUTE_TYPE_INVALID, "CKR_ATTRIBUTE_TYPE_INVALID", absl::StatusCode::kInternal, kOurBug},
    {CKR_ATTRIBUTE_VALUE_INVALID, "CKR_ATTRIBUTE_VALUE_INVALID", absl::StatusCode::kUnimplemented, kTokenCannot},
    {CKR_ACTION_PROHIBITED, "CKR_ACTION_PROHIBITED", absl::StatusCode::kFailedPrecondition, kNotForThat},
    {CKR_DATA_INVALID, "CKR_DATA_INVALID", absl::StatusCode::kInvalidArgument, "the token refuses the input"},
    {CKR_DATA_LEN_RANGE, "CKR_DATA_LEN_RANGE", absl::StatusCode::kInvalidArgument,
     "the token refuses the input's length"},
    {CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", absl::StatusCode::kUnavailable, kTokenGone},
    {CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY", absl::StatusCode::kResourceExhausted, kFull},
    {CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED", absl::StatusCode::kUnavailable, kTokenGone},
    {CKR_ENCRYPTED_DATA_INVALID, "CKR_ENCRYPTED_DATA_INVALID", absl::StatusCode::kDataLoss, kNotOurBytes},
    {CKR_ENCRYPTED_DATA_LEN_RANGE, "CKR_ENCRYPTED_DATA_LEN_RANGE", absl::StatusCode::kDataLoss, kNotOurBytes},
    {CKR_FUNCTION_CANCELED, "CKR_FUNCTION_CANCELED", absl::StatusCode::kUnavailable,
     "the token's operator cancelled it"},
    {CKR_FUNCTION_NOT_SUPPORTED, "CKR_FUNCTION_NOT_SUPPORTED", absl::StatusCode::kUnimplemented, kTokenCannot},
    {CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID", absl::StatusCode::kNotFound, kVanished},
    {CKR_KEY_SIZE_RANGE, "CKR_KEY_SIZE_RANGE", absl::StatusCode::kUnimplemented, kTokenCannot},
    {CKR_KEY_TYPE_INCONSISTENT, "CKR_KEY_TYPE_INCONSISTENT", absl::StatusCode::kFailedPrecondition, kNotForThat},
    {CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED", absl::StatusCode::kFailedPrecondition,
     kNotForThat},
    {CKR_KEY_NOT_WRAPPABLE, "CKR_KEY_NOT_WRAPPABLE", absl::StatusCode::kFailedPrecondition, kNotForThat},
    {CKR_KEY_UNEXTRACTABLE, "CKR_KEY_UNEXTRACTABLE", absl::StatusCode::kFailedPrecondition,
     "the key may not leave the token, and nobody can change that"},
    {CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID", absl::StatusCode::kUnimplemented, kTokenCannot},
    {CKR_MECHANISM_PARAM_INVALID, "CKR_MECHANISM_PARAM_INVALID", absl::StatusCode::kUnimplemented, kTokenCannot},
    {CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID", absl::StatusCode::kNotFound, kVanished},
    {CKR_OPERATION_ACTIVE, "CKR_OPERATION_ACTIVE", absl::StatusCode::kInternal, kOurBug},
    {CKR_OPERATION_NOT_INITIALIZED, "CKR_OPERATION_NOT_INITIALIZED", absl::StatusCode::kInternal, kOurBug},
    {CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT", absl::StatusCode::kFailedPrecondition,
     "the PIN is wrong; put the right one into the PIN file (this one is not tried again: tries are counted)"},
    {CKR_PIN_INVALID, "CKR_PIN_INVALID", absl::StatusCode::kFailedPrecondition,
     "the PIN has characters that the token does not take"},
    {CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE", absl::StatusCode::kFailedPrecondition,
     "the PIN is too long or too short for the token"},
    {CKR_PIN_EXPIRED, "CKR_PIN_EXPIRED", absl::StatusCode::kFailedPrecondition,
     "the PIN has expired; set a new one with the token's tool, and put it into the PIN file"},
    {CKR_PIN_LOCKED, "CKR_PIN_LOCKED", absl::StatusCode::kFailedPrecondition,
     "the PIN is locked after too many wrong tries; the token's security officer can set a new one"},
    {CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED", absl::StatusCode::kUnavailable, kSessionGone},
    {CKR_SESSION_COUNT, "CKR_SESSION_COUNT", absl::StatusCode::kResourceExhausted,
     "the token has no session left; see what else uses it"},
    {CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID", absl::StatusCode::kUnavailable, kSessionGone},
    {CKR_SESSION_READ_ONLY, "CKR_SESSION_READ_ONLY", absl::StatusCode::kFailedPrecondition,
     "the token does not let itself be written to"},
    {CKR_SIGNATURE_INVALID, "CKR_SIGNATURE_INVALID", absl::StatusCode::kDataLoss, kNotOurBytes},
    {CKR_TEMPLATE_INCOMPLETE, "CKR_TEMPLATE_INCOMPLETE", absl::StatusCode::kInternal, kOurBug},
    {CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT", absl::StatusCode::kUnimplemented,
     "the token's policy forbids keys with these attributes"},
    {CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT", absl::StatusCode::kUnavailable, kTokenGone},
    {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED", absl::StatusCode::kUnavailable, kTokenGone},
    {CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED", absl::StatusCode::kFailedPrecondition,
     "the token does not let itself be written to"},
    {CKR_UNWRAPPING_KEY_HANDLE_INVALID, "CKR_UNWRAPPING_KEY_HANDLE_INVALID", absl::StatusCode::kNotFound, kVanished},
    {CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT",
     absl::StatusCode::kFailedPrecondition, kNotForThat},
    {CKR_USER_ALREADY_LOGGED_IN, "CKR_USER_ALREADY_LOGGED_IN", absl::StatusCode::kInternal, kOurBug},
    {CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN", absl::StatusCode::kUnavailable, kSessionGone},
    {CKR_USER_PIN_NOT_INITIALIZED, "CKR_USER_PIN_NOT_INITIALIZED", absl::StatusCode::kFailedPrecondition,
     "the token has no user PIN yet; its security officer sets one"},
    {CKR_USER_TYPE_INVALID, "CKR_USER_TYPE_INVALID", absl::StatusCode::kInternal, kOurBug},
    {CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", absl::StatusCode::kFailedPrecondition,
     "the security officer is logged in from this process; log out"},
    {CKR_USER_TOO_MANY_TYPES, "CKR_USER_TOO_MANY_TYPES", absl::StatusCode::kFailedPrecondition,
     "too many kinds of users are logged in; log out elsewhere"},
    {CKR_WRAPPED_KEY_INVALID, "CKR_WRAPPED_KEY_INVALID", absl::StatusCode::kDataLoss, kNotOurBytes},
    {CKR_WRAPPED_KEY_LEN_RANGE, "CKR_WRAPPED_KEY_LEN_RANGE", absl::StatusCode::kDataLoss, kNotOurBytes},
    {CKR_WRAPPING_KEY_HANDLE_INVALID, "CKR_WRAPPING_KEY_HANDLE_INVALID", absl::StatusCode::kNotFound, kVanished},
    {CKR_WRAPPING_KEY_TYPE_INCONSISTENT, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT", absl::StatusCode::kFailedPrecondition,
     kNotForThat},
    {CKR_RANDOM_NO_RNG, "CKR_RANDOM_NO_RNG", absl::StatusCode::kUnimplemented, kTokenCannot},
    {CKR_DOMAIN_PARAMS_INVALID, "CKR_DOMAIN_PARAMS_INVALID", absl::StatusCode::kUnimplemented, kTokenCannot},
    {CKR_CURVE_NOT_SUPPORTED, "CKR_CURVE_NOT_SUPPORTED", absl::StatusCode::kUnimplemented, kTokenCannot},
    {CKR_BUFFER_TOO_SMALL, "CKR_BUFFER_TOO_SMALL", absl::StatusCode::kInternal, kOurBug},
    {CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED", absl::StatusCode::kUnavailable,
     "something in this process finalised the module; start the process again"},
    {CKR_CRYPTOKI_ALREADY_INITIALIZED, "CKR_CRYPTOKI_ALREADY_INITIALIZED", absl::StatusCode::kInternal, kOurBug},
    {CKR_FUNCTION_REJECTED, "CKR_FUNCTION_REJECTED", absl::StatusCode::kFailedPrecondition,
     "the token's operator or policy said no"},
});

const Meaning* Find(CK_RV code) {
  const auto* const at = std::ranges::find(kMeanings, code, &Meaning::code);
  return at == kMeanings.end() ? nullptr : at;
}

}  // namespace

std::string CodeName(CK_RV code) {
  if (code == CKR_OK) return "CKR_OK";
  const Meaning* const meaning = Find(code);
  return meaning == nullptr ? fmt::format("CKR {:#x}", code) : std::string(meaning->name);
}

absl::Status CkStatus(CK_RV code, std::string_view call) {
  if (code == CKR_OK) return absl::OkStatus();
  const Meaning* const meaning = Find(code);
  const absl::StatusCode status_code = meaning == nullptr ? absl::StatusCode::kUnavailable : meaning->status;
  const std::string_view advice =
      meaning != nullptr ? meaning->advice : "a code of the module's maker; look it up in the manual of the module";
  absl::Status status = MakeStatus(status_code, "{}: {} ({})", call, advice, CodeName(code));
  if (meaning != nullptr) SetReason(status, meaning->name);
  status.SetPayload({kCodeUrl.data(), kCodeUrl.size()}, absl::Cord(fmt::format("{}", code).c_str()));
  return status;
}

CK_RV CodeOf(const absl::Status& status) {
  const auto payload = status.GetPayload({kCodeUrl.data(), kCodeUrl.size()});
  if (!payload.has_value()) return CKR_OK;
  const std::string text(*payload);
  CK_RV code = CKR_OK;
  std::from_chars(text.data(), text.data() + text.size(), code);
  return code;
}

}  // namespace virp::pkcs11
