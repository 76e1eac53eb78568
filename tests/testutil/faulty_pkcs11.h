// What a test tells the faulty module: a PKCS #11 module that passes every call on to SoftHSM, but for those that a
// test has picked to fail or to lie. C linkage: the test finds it with dlsym.
#pragma once

extern "C" {

enum FaultyMode {
  kFaultyBefore = 0,   // the call gives `code` and does nothing
  kFaultyAfter = 1,    // the call does its work, then gives `code`
  kFaultyPretend = 2,  // the call does nothing and says CKR_OK
  kFaultyHuge = 3,     // C_Sign, C_WrapKey, C_Encrypt, C_Decrypt: the length that is given back is beyond the buffer
  kFaultyShort = 4,    // the same: one byte less than there is
};

// Of the calls of `function` ("C_Sign") that follow, passes over `skip` and does this to `times` of them.
void VirpFaultyPlan(const char* function, int mode, unsigned long code, int skip, int times);
// Flags that C_GetTokenInfo shows beside those that are there.
void VirpFaultyTokenFlags(unsigned long flags);
// How many calls of `function` there were.
int VirpFaultyCalls(const char* function);
void VirpFaultyReset();
}
