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

template <class T>
Result<T> ExportSource::first_of(Result<T> (*attempt)(const ExportUri&)) {
  std::string failures;
  Code code = Code::not_found;
  for (size_t i = 0; i < places_.size(); i++) {
    const size_t place = (current_ + i) % places_.size();
    Result<T> done = attempt(places_[place]);
    if (done) {
      current_ = place;
      return done;
    }
    code = done.error().code;
    if (places_.size() == 1) return done;
    failures +=
        (failures.empty() ? "" : "; ") + places_[place].host + ":" + places_[place].port + ": " + done.error().message;
  }
  return Error{code, failures};
}

Result<OpenedExport> ExportSource::open() { return first_of(open_export); }
Result<Export> ExportSource::look() { return first_of(look_at_export); }

}  // namespace atl::attach
