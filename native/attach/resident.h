// resident.h: a keeper in memory.
#pragma once

namespace atl::attach {

/// Keeps the process in memory, from being killed when memory runs out, and its allocations from waiting for I/O: the memory that is short may be
/// freed only by writing to the device that this process keeps. Logs what the system refuses.
void stay_resident();

}  // namespace atl::attach
