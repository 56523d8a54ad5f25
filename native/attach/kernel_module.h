// kernel_module.h: loads the kernel's NBD client.
#pragma once

#include "base/result.h"

namespace atl::attach {

/// Runs the program that the kernel itself loads modules with. Devices need no count: the driver makes them as they are asked for.
Result<void> load_nbd_module();

}  // namespace atl::attach
