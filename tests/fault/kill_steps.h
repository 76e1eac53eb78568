// Kills this process at its n-th write, sync or other step, for tests that fork and look at what was left. Link
// kill_steps.cc: it stands in the C library's place for the calls that SQLite and our own files write with.
#pragma once

namespace virp::testutil {

void KillAfter(int steps);  // negative: never
void Step();                // one of the test's own

}  // namespace virp::testutil
