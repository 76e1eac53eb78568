// Whose certificates a libcurl handle takes.
#pragma once

#include <curl/curl.h>

#include <string>

namespace virp::http {

// `roots`: a file of PEM certificates; nothing that does not lead to them is trusted. Empty: the system's authorities.
// To be called behind curl_easy_reset, which brings the system's folder of authorities back.
inline void Trust(CURL* handle, const std::string& roots) {
  if (roots.empty()) return;
  curl_easy_setopt(handle, CURLOPT_CAINFO, roots.c_str());
  curl_easy_setopt(handle, CURLOPT_CAPATH, nullptr);  // trusted beside the file otherwise, where libcurl was built so
}

}  // namespace virp::http
