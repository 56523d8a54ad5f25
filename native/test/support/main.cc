// main.cc: the one native test program. Files beside it register their cases. Those in which more than one thread is at
// work stand in TEST_SUITE("threads"): ThreadSanitizer runs that suite. docs/internals/testing.md shows how to pick cases.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
