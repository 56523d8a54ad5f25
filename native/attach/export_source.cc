#include "attach/export_source.h"

#include <string>
#include <utility>

namespace atl::attach {

ExportSource::ExportSource(ExportUri uri, const std::vector<Address>& more_addresses, size_t first) : current_(first) {
  places_.push_back(std::move(uri));
  for (const Address& address : more_addresses) {
    ExportUri place = places_.front();
    place.host = address.host;
    place.port = address.port;
    places_.push_back(std::move(place));
  }
}

Result<OpenedExport> ExportSource::open(const Check& check) {
  std::string failures;
  Code code = Code::not_found;
  for (size_t i = 0; i < places_.size(); i++) {
    const size_t place = (current_ + i) % places_.size();
    Result<OpenedExport> opened = open_export(places_[place]);
    if (opened)
      if (Result<void> checked = check(opened->facts); !checked) opened = checked.error();
    if (opened) {
      current_ = place;
      return opened;
    }
    code = opened.error().code;
    if (places_.size() == 1) return opened;
    failures += (failures.empty() ? "" : "; ") + places_[place].host + ":" + places_[place].port + ": " +
                opened.error().message;
  }
  return Error{code, failures};
}

}  // namespace atl::attach
