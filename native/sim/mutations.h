// mutations.h: proof that the simulator can see: each rule of the engine that base/mutation.h can break, and how many seeds it takes
// until the simulator says so.
#pragma once

#include <cstdint>
#include <string>

namespace atl::sim {

#ifdef ATOLL_MUTATIONS
constexpr bool mutations_built = true;
#else
constexpr bool mutations_built = false;
#endif

/// False: there is no such mutation.
bool activate_mutation(const std::string& name);
std::string mutation_names();

/// Prints the table. Answers the exit status: 0 when each was seen within `seeds_max` seeds.
int show_mutations(uint64_t first_seed, uint32_t steps, uint64_t seeds_max, unsigned jobs);

}  // namespace atl::sim
