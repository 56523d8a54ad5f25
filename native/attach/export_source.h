// export_source.h: one export behind one or several addresses.
#pragma once

#include <vector>

#include "attach/export.h"

namespace atl::attach {

class ExportSource {
 public:
  /// Address 0 is the URI's own; `first` is tried first.
  ExportSource(ExportUri uri, const std::vector<Address>& more_addresses, size_t first);

  /// Connects by the address that worked last, else by the others in turn; the error names them all.
  Result<OpenedExport> open();
  /// Asks for size and flags only.
  Result<Export> look();
  /// Returns the number of the address that worked last.
  size_t current() const { return current_; }

 private:
  template <class T>
  Result<T> first_of(Result<T> (*attempt)(const ExportUri&));

  std::vector<ExportUri> places_;
  size_t current_;
};

}  // namespace atl::attach
