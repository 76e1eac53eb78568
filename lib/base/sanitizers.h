// VIRP_SANITIZED_HEAP: this program runs with a sanitizer that brings a heap of its own, which keeps what was freed.
// GCC says so by macros, clang by features.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VIRP_SANITIZED_HEAP
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define VIRP_SANITIZED_HEAP
#endif
#endif
