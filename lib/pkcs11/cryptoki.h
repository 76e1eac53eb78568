// Private to lib/pkcs11: the standard's own header (OASIS PKCS #11 2.40, as p11-kit ships it), and its return codes as
// statuses.
#pragma once

#include <p11-kit/pkcs11.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace virp::pkcs11 {

// "CKR_PIN_INCORRECT"; "CKR 0x80000001" for one that the standard does not name.
std::string CodeName(CK_RV code);

// OK for CKR_OK. Otherwise "CALL: what is wrong and what to do (CKR_NAME)" with the code and the reason attached.
absl::Status CkStatus(CK_RV code, std::string_view call);

// The code that CkStatus attached; CKR_OK when there is none.
CK_RV CodeOf(const absl::Status& status);

}  // namespace virp::pkcs11
