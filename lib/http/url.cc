#include "lib/http/url.h"

#include <curl/curl.h>

#include <memory>

#include "lib/base/status.h"

namespace virp::http {
namespace {

struct Freed {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

std::string Part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
  std::string out(text);
  curl_free(text);
  return out;
}

}  // namespace

absl::StatusOr<Url> ParseUrl(const std::string& text) {
  const std::unique_ptr<CURLU, Freed> url(curl_url());
  if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK)
    return InvalidArgument("not a URL; wanted https://HOST/PATH");
  if (!Part(url.get(), CURLUPART_USER).empty() || !Part(url.get(), CURLUPART_PASSWORD).empty())
    return InvalidArgument("a user or password in a URL would stand in process lists, logs and metrics: take it out");
  return Url{Part(url.get(), CURLUPART_SCHEME), Part(url.get(), CURLUPART_HOST)};
}

}  // namespace virp::http
