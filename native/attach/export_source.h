// export_source.h: one export behind one or several addresses.
#pragma once

#include <functional>
#include <vector>

#include "attach/export.h"

namespace atl::attach {

class ExportSource {
 public:
  /// Address 0 is the URI's own; `first` is tried first.
  ExportSource(ExportUri uri, const std::vector<Address>& more_addresses, size_t first);

  /// Returns the reason why an export must not be used, if there is one.
  using Check = std::function<Result<void>(const Export&)>;

  /// Connects by the address that was opened last, else by the others in turn. An address whose export fails the check has failed like
  /// one that cannot be reached. The error names them all.
  Result<OpenedExport> open(const Check& check);
  /// Asks the current address for size and flags; another one may be a standby.
  Result<Export> look() const { return look_at_export(places_[current_]); }
  /// Returns the number of the address that was opened last.
  size_t current() const { return current_; }

 private:
  std::vector<ExportUri> places_;
  size_t current_;
};

}  // namespace atl::attach
