#include "lib/bgpsec/update.h"

#include <gtest/gtest.h>

#include "lib/bgpsec/rfc8608.h"
#include "tests/testutil/status_matchers.h"

namespace virp::bgpsec {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;
using namespace std::string_literals;

// A message around these attributes.
std::string Message(std::string_view attributes, std::string_view behind = "") {
  std::string out(16, '\xff');
  AppendBe(out, static_cast<std::uint16_t>(23 + attributes.size() + behind.size()));
  out += "\x02\x00\x00"s;
  AppendBe(out, static_cast<std::uint16_t>(attributes.size()));
  return out.append(attributes).append(behind);
}

const std::string kPath = "\x80\x21\x02"s + "xx";
const std::string kReach = "\x80\x0e\x0d\x00\x01\x01\x04\xc6\x33\x64\x64\x00\x18\xc0\x00\x02"s;

TEST(Update, TheExamplesAreRead) {
  for (const Example& example : Examples()) {
    const std::string message = Unhex(example.json->at("bgp_update"));
    ASSERT_OK_AND_ASSIGN(const SignedRoute route, ReadUpdate(message));
    EXPECT_EQ(HexEncode(route.attribute), HexEncode(example.attribute));
    EXPECT_EQ(route.nlri.afi, example.nlri.afi);
    EXPECT_EQ(route.nlri.safi, example.nlri.safi);
    EXPECT_EQ(route.nlri.prefix, example.nlri.prefix);
    for (std::size_t size = 0; size < message.size(); ++size)
      EXPECT_FALSE(ReadUpdate(std::string_view(message).substr(0, size)).ok()) << size;
  }
}

TEST(Update, WhatIsNotOneSignedRouteIsRefused) {
  EXPECT_OK(ReadUpdate(Message(kPath + kReach)).status());
  const auto refused = [](const std::string& message, const char* why) {
    EXPECT_THAT(ReadUpdate(message).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr(why))) << why;
  };
  refused(Message(kReach), "no BGPsec_Path");
  refused(Message(kPath), "no MP_REACH_NLRI");
  refused(Message(kPath + kReach + kPath), "two BGPsec_Path");
  refused(Message(kPath + "\x80\x1e\x00"s + kReach), "two BGPsec_Path");
  refused(Message(kPath + kReach + kReach), "two MP_REACH_NLRI");
  refused(Message(kPath + kReach + "\x40\x02\x00"s), "AS_PATH");
  refused(Message(kPath + kReach, "\x18\xc0\x00\x02"s), "routes behind");
  refused(Message(kPath + "\x80\x0e\x11"s + kReach.substr(3) + "\x18\xc0\x00\x03"s), "not one prefix");
  refused(Message(kPath + "\x80\x0e\x0d\x00\x01\x02"s + kReach.substr(6)), "SAFI 2");
  refused(Message(kPath + "\x80\x0e\x04\x00\x01\x01\x04"s), "next hop");
  refused(Message(kPath + "\x90\x0e\x00"s), "length");
  refused(Message(kPath + "\x80\x0e\x05\x00"s), "an attribute at byte");
  std::string other = Message(kPath + kReach);
  other[18] = '\x01';
  refused(other, "type 1");
  other[0] = 'x';
  refused(other, "begins with");
  refused(Message(kPath + kReach) + 'x', "says it has");
}

TEST(Update, PrefixesAreWrittenAsTheyAreRead) {
  for (const char* const text : {"0.0.0.0/0", "192.0.2.0/24", "192.0.2.1/32", "10.128.0.0/9", "::/0", "2001:db8::/32",
                                 "2001:db8::1/128", "2001:db8:8000::/33"}) {
    ASSERT_OK_AND_ASSIGN(const Prefix prefix, Prefix::Parse(text));
    const Nlri nlri = NlriOf(prefix);
    EXPECT_OK(Check(nlri));
    EXPECT_EQ(PrefixOf(nlri).ToString(), text);
  }
  EXPECT_EQ(NlriOf(*Prefix::Parse("10.128.0.0/9")).prefix, "\x09\x0a\x80");
}

}  // namespace
}  // namespace virp::bgpsec
