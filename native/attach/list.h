// list.h: the devices that are connected, as a table.
#pragma once

#include <string>

namespace atl::attach {

/// Returns one line for each connected device below a heading. Exports are shown to whoever may read the keepers' records, which is root.
std::string list_devices();

}  // namespace atl::attach
