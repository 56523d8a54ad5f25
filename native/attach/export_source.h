// export_source.h: one export behind one or several addresses.
#pragma once

#include <vector>

#include "attach/export.h"

namespace atl::attach {

class ExportSource {
 public:
  /// The URI's own address is tried first.
  ExportSource(ExportUri uri, const std::vector<Address>& more_addresses);

  /// Connects by the address that worked last, else by the others in turn; the error names them all.
  Result<OpenedExport> open();
  /// Asks for size and flags only.
  Result<Export> look();
  /// Returns a number for the address that worked last.
  size_t current() const { return current_; }

 private:
  template <class T>
  Result<T> first_of(Result<T> (*attempt)(const ExportUri&));

  std::vector<ExportUri> places_;
  size_t current_ = 0;
};

}  // namespace atl::attach
