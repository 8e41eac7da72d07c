// Loops of our own that are compiled for several processors; the loader takes the best this one
// has.
#pragma once

// Sanitizers instrument the resolver, which runs before they are set up.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define DLM_CLONED [[gnu::target_clones("avx512f", "avx2", "default")]]
#else
#define DLM_CLONED
#endif
