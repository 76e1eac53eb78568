// What we emit, checked by a program that shares no code with us (verify_frame.py).
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "lib/frame/frame.h"
#include "lib/frame/key.h"
#include "lib/frame/payload.h"
#include "tests/testutil/shell.h"
#include "tests/testutil/temp_dir.h"

namespace virp::frame {
namespace {

class FrameInteropTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_.File(name), std::ios::binary | std::ios::trunc) << bytes;
  }

  testutil::CommandResult Verify(const std::string& frame, const std::string& key_file) const {
    Write("frame", frame);
    Write("key", key_file);
    return testutil::RunCommand("python3 -B '" VIRP_SOURCE_DIR "/tests/interop/verify_frame.py' '" +
                                folder_.File("frame") + "' '" + folder_.File("key") + "'");
  }

  static std::string Emit(const OKey& key, std::string_view payload) {
    Header header;
    header.spelling = Spelling::kV1Le;
    header.type = Type::kPeerStatusChanged;
    header.tier = Tier::kYellow;
    header.timestamp = 1'750'000'000'000'000'001;
    header.sequence = 258;
    return EncodeSigned(header, payload, key).value();
  }

  testutil::TempDir folder_;
};

TEST_F(FrameInteropTest, PythonVerifiesWhatWeEmit) {
  const std::string key_file = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
  const auto key = OKey::Hmac(HmacSecretFromFile(key_file).value()).value();
  JsonWriter payload;
  payload.BeginObject()
      .Field("event", "peer_state_change")
      .Field("peer", "edgé \"b\"")
      .Field("peer_as", 64501)
      .EndObject();
  const std::string json = payload.Take();
  const auto [status, out] = Verify(Emit(*key, json), key_file);
  EXPECT_EQ(status, 0) << out;
  EXPECT_EQ(out, "type 1 tier 1 time 1750000000000000001 sequence 258 " + json + "\n");
}

TEST_F(FrameInteropTest, PythonVerifiesWithARawKey) {
  const std::string raw = std::string(30, '\x01') + "\r\n";
  const auto key = OKey::Hmac(HmacSecretFromFile(raw).value()).value();
  const auto [status, out] = Verify(Emit(*key, "{}"), raw);
  EXPECT_EQ(status, 0) << out;
}

TEST_F(FrameInteropTest, PythonRefusesOneChangedByte) {
  const std::string key_file(32, 'k');
  const std::string good = Emit(*OKey::Hmac(key_file).value(), "{}");
  ASSERT_EQ(Verify(good, key_file).status, 0);
  // A byte of the header, the payload and the tag; lib/frame's own tests change them all.
  for (const std::size_t at : {6U, 24U, 57U}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    const auto [status, out] = Verify(bad, key_file);
    EXPECT_EQ(status, 1) << "byte " << at << ": " << out;
  }
  EXPECT_EQ(Verify(good, std::string(32, 'l')).status, 1) << "another key";
}

}  // namespace
}  // namespace virp::frame
