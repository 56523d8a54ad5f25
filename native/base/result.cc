#include "base/result.h"

#include <cstring>

namespace atl {

const char* code_name(Code code) {
  switch (code) {
    case Code::invalid: return "invalid";
    case Code::not_found: return "not_found";
    case Code::exists: return "exists";
    case Code::read_only: return "read_only";
    case Code::out_of_range: return "out_of_range";
    case Code::no_space: return "no_space";
    case Code::io: return "io";
    case Code::corrupt: return "corrupt";
    case Code::busy: return "busy";
    case Code::cancelled: return "cancelled";
    case Code::shutdown: return "shutdown";
    case Code::unsupported: return "unsupported";
    case Code::too_large: return "too_large";
  }
  return "io";
}

Error Error::from_errno(int error, std::string what) {
  Code code = Code::io;
  switch (error) {
    case ENOSPC:
    case EDQUOT: code = Code::no_space; break;
    case ENOENT: code = Code::not_found; break;
    case EEXIST: code = Code::exists; break;
    case EINVAL: code = Code::invalid; break;
    case EOPNOTSUPP: code = Code::unsupported; break;
    case EBUSY: code = Code::busy; break;
    case ECANCELED: code = Code::cancelled; break;
    case EFBIG: code = Code::too_large; break;
    default: break;
  }
  char text[128];
  return Error{code, std::move(what) + ": " + strerror_r(error, text, sizeof text)};
}

}  // namespace atl
