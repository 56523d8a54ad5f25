#include "nbd/protocol/request_stream.h"

namespace atl::nbd {

bool RequestStream::decide(uint64_t size_bytes, bool revoked) {
  if (rules_.extended && payload_left_ > rules_.block_sizes.maximum) {
    // "A server SHOULD initiate hard disconnect": dropping it could take years.
    verdict_ = {NbdError::inval, "a payload over the maximum block size: this ends the connection"};
    payload_left_ = 0;
    ended_ = settled_ = true;
    return true;
  }
  if (request_.command == Command::block_status && request_.payload > 0 && !take_filter()) return false;
  if (verdict_.accepted()) verdict_ = judge(request_, rules_, size_bytes);
  if (revoked) verdict_ = {NbdError::shutdown, "the export was taken away"};
  settled_ = true;
  return true;
}

/// A payload that may be a filter is kept until all of it is here; a longer one is refused, and dropped like any other.
bool RequestStream::take_filter() {
  if (request_.payload > filter_.size()) {
    verdict_ = {NbdError::inval, "a payload of more context ids than can be negotiated"};
    return true;
  }
  const MutableBytes rest = MutableBytes(filter_).first(request_.payload).subspan(filter_have_);
  filter_have_ += take_payload(rest);
  if (payload_left_ > 0) return false;
  verdict_ = read_status_filter(Bytes(filter_).first(filter_have_), rules_, request_);
  return true;
}

}  // namespace atl::nbd
