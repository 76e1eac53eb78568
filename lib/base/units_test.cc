#include "lib/base/units.h"

#include <gtest/gtest.h>

namespace virp {
namespace {

using namespace std::chrono_literals;

TEST(UnitsTest, Durations) {
  EXPECT_EQ(*ParseDuration("500ms"), 500ms);
  EXPECT_EQ(*ParseDuration("10s"), 10s);
  EXPECT_EQ(*ParseDuration("1h30m"), 90min);
  EXPECT_EQ(*ParseDuration("2d"), 48h);
  EXPECT_EQ(*ParseDuration("1s5ns"), 1s + 5ns);
  EXPECT_EQ(*ParseDuration("0"), 0ns);
  EXPECT_EQ(*ParseDuration("0s"), 0ns);
  for (const char* text :
       {"", "5", "s", "1.5s", "-1s", "1s1s", "1m1h", "1 s", "10x", "99999999999999999999s", "300000d", "1s ", "00"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
  for (const std::chrono::nanoseconds value :
       std::initializer_list<std::chrono::nanoseconds>{0ns, 1ns, 1500ms, 90min + 3ns, 48h}) {
    EXPECT_EQ(*ParseDuration(FormatDuration(value)), value) << FormatDuration(value);
  }
  EXPECT_EQ(FormatDuration(90s), "1m30s");
  EXPECT_EQ(FormatDuration(-90s), "-1m30s");
}

TEST(UnitsTest, Sizes) {
  EXPECT_EQ(*ParseSize("512"), 512U);
  EXPECT_EQ(*ParseSize("64KiB"), 65536U);
  EXPECT_EQ(*ParseSize("10MB"), 10'000'000U);
  EXPECT_EQ(*ParseSize("1GiB"), 1ULL << 30);
  EXPECT_EQ(*ParseSize("16777215TiB"), 16777215ULL << 40);
  for (const char* text : {"", "KiB", "1 KiB", "1kib", "-1", "1.5GiB", "16777216TiB", "99999999999999999999"}) {
    EXPECT_FALSE(ParseSize(text).ok()) << text;
  }
}

TEST(UnitsTest, HostPorts) {
  EXPECT_EQ(*ParseHostPort("127.0.0.1:0"), (HostPort{"127.0.0.1", 0}));
  EXPECT_EQ(*ParseHostPort("onode-0.virp.svc:8443"), (HostPort{"onode-0.virp.svc", 8443}));
  EXPECT_EQ(*ParseHostPort("[2001:db8::1]:65535"), (HostPort{"2001:db8::1", 65535}));
  EXPECT_EQ(FormatHostPort({"::1", 1}), "[::1]:1");
  EXPECT_EQ(FormatHostPort({"a.b", 1}), "a.b:1");
  for (const char* text : {"", ":1", "host", "host:", "host:65536", "host:-1", "host:1x", "::1:80", "[::1]",
                           "[127.0.0.1]:1", "[x]:1", "a b:1", "[::1]x:1", "host:+1"}) {
    EXPECT_FALSE(ParseHostPort(text).ok()) << text;
  }
}

}  // namespace
}  // namespace virp
