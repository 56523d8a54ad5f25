// main.cc: the one native test program. Each file under test/ registers its cases in a suite named after its folder
// (TEST_SUITE("io")), which is what `atoll_tests --test-suite=io` selects and what the ThreadSanitizer run goes by.
//
// A seed is printed by the case that uses one; ATOLL_SEED=n replays it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
