#include "lib/crypto/sha256.h"

#include "lib/crypto/openssl_util.h"

namespace virp::crypto {
namespace {

// Fetched once and never freed: other statics may still hash while the process ends.
const EVP_MD* Algorithm() {
  static const EVP_MD* const md = [] {
    EVP_MD* fetched = EVP_MD_fetch(nullptr, "SHA2-256", nullptr);
    OrDie(fetched != nullptr, "EVP_MD_fetch(SHA2-256)");
    return fetched;
  }();
  return md;
}

EvpMdCtxPtr NewContext() {
  EvpMdCtxPtr ctx(EVP_MD_CTX_new());
  OrDie(ctx != nullptr, "EVP_MD_CTX_new");
  return ctx;
}

EVP_MD_CTX* ThreadContext() {
  thread_local const EvpMdCtxPtr ctx = NewContext();
  return ctx.get();
}

void Start(EVP_MD_CTX* ctx) {
  OrDie(EVP_DigestInit_ex2(ctx, Algorithm(), nullptr) == 1, "EVP_DigestInit_ex2");
}

void Add(EVP_MD_CTX* ctx, std::string_view bytes) {
  OrDie(EVP_DigestUpdate(ctx, bytes.data(), bytes.size()) == 1, "EVP_DigestUpdate");
}

Hash End(EVP_MD_CTX* ctx) {
  Hash out;
  OrDie(EVP_DigestFinal_ex(ctx, out.data(), nullptr) == 1, "EVP_DigestFinal_ex");
  return out;
}

}  // namespace

Hash Sha256(std::string_view bytes) {
  EVP_MD_CTX* ctx = ThreadContext();
  Start(ctx);
  Add(ctx, bytes);
  return End(ctx);
}

Hash Sha256(std::initializer_list<std::string_view> parts) {
  EVP_MD_CTX* ctx = ThreadContext();
  Start(ctx);
  for (const std::string_view part : parts) Add(ctx, part);
  return End(ctx);
}

}  // namespace virp::crypto
