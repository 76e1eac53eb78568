// Which prefixes an UPDATE announces.
#include "update.h"

#include <gtest/gtest.h>

#include <string>

namespace virp::frr {
namespace {

using std::string_literals::operator""s;

std::string Sized(const std::string& bytes) {
  return std::string{static_cast<char>(bytes.size() >> 8), static_cast<char>(bytes.size())} + bytes;
}
std::string Update(const std::string& withdrawn, const std::string& attributes, const std::string& announced) {
  const std::string body = Sized(withdrawn) + Sized(attributes) + announced;
  return std::string(16, '\xff') + Sized(std::string(17, '.') + body).substr(0, 2) + "\2" + body;
}
virp_nlri V4(const std::string& bytes, std::uint8_t length) {
  virp_nlri out{};
  out.afi = 1;
  out.length = length;
  bytes.copy(reinterpret_cast<char*>(out.bytes), bytes.size());
  return out;
}
bool Announces(const std::string& message, const virp_nlri& nlri) {
  return ::virp_update_announces(reinterpret_cast<const std::uint8_t*>(message.data()), message.size(), &nlri);
}

const std::string kOrigin = "\x40\x01\x01\x00"s;
const std::string kTen = "\x18\x0a\x00\x01"s;  // 10.0.1.0/24
const std::string kOdd = "\x0c\xac\x1f"s;      // 172.16.0.0/12, with bits behind its length
const virp_nlri kAsked = V4("\x0a\x00\x01"s, 24);

TEST(FrrUpdate, AnnouncesWhatItLists) {
  EXPECT_TRUE(Announces(Update("", kOrigin, kOdd + kTen), kAsked));
  EXPECT_TRUE(Announces(Update("", kOrigin, kTen + kOdd), V4("\xac\x10"s, 12)));
  EXPECT_FALSE(Announces(Update("", kOrigin, kTen), V4("\x0a\x00\x01"s, 25)));
  EXPECT_FALSE(Announces(Update("", kOrigin, kTen), V4("\x0a\x00\x02"s, 24)));
  EXPECT_FALSE(Announces(Update(kTen, "", ""), kAsked)) << "it is withdrawn";
  EXPECT_FALSE(Announces(Update("", "", ""), kAsked));
}

TEST(FrrUpdate, PathIdsAreToldApart) {
  virp_nlri asked = kAsked;
  asked.add_path = true;
  asked.path_id = 2;
  EXPECT_TRUE(Announces(Update("", kOrigin, "\0\0\0\1"s + kOdd + "\0\0\0\2"s + kTen), asked));
  EXPECT_FALSE(Announces(Update("", kOrigin, "\0\0\0\1"s + kTen), asked));
}

TEST(FrrUpdate, OtherFamiliesComeInAnAttribute) {
  virp_nlri asked{};
  asked.afi = 2;
  asked.length = 32;
  std::string("\x20\x01\x0d\xb8").copy(reinterpret_cast<char*>(asked.bytes), 4);
  const std::string reach = "\0\2\1\x10"s + std::string(16, 'h') + "\0"s + "\x20\x20\x01\x0d\xb8"s;
  EXPECT_TRUE(Announces(Update("", kOrigin + "\x90\x0e"s + Sized(reach), ""), asked));
  EXPECT_TRUE(Announces(Update("", "\x80\x0e"s + static_cast<char>(reach.size()) + reach, ""), asked));
  EXPECT_FALSE(Announces(Update("", kOrigin + "\x90\x0f"s + Sized(reach), ""), asked)) << "MP_UNREACH_NLRI";
  EXPECT_FALSE(Announces(Update("", kOrigin, "\x20\x20\x01\x0d\xb8"s), asked)) << "an IPv4 prefix";
}

TEST(FrrUpdate, WhatEndsTooEarlyAnnouncesNothing) {
  const std::string good = Update("", kOrigin, kTen);
  ASSERT_TRUE(Announces(good, kAsked));
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(Announces(good.substr(0, size), kAsked)) << size;
  std::string keepalive = good;
  keepalive[18] = 4;
  EXPECT_FALSE(Announces(keepalive, kAsked));
}

}  // namespace
}  // namespace virp::frr
