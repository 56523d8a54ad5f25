// resource_send.cc: a range of a resource to a socket.
//
// Runs of content chunks go from the page cache to the socket (sendfile): a chunk never changes. Everything else is read into memory
// first, by the way of every read: data files are overwritten and punched, and a page that waits in a socket would change with them
// (socket_sender.h, rule 3); what is not in the page cache would make the loop wait for the disk; short runs cost less together.
//
// No read epoch is held while a client is waited for, or one that stands still would keep space from being given back. So the map is
// looked at anew after each wait.
#include <algorithm>

#include "engine/resource/resource.h"
#include "io/socket_sender.h"

namespace atl {
namespace {

constexpr uint64_t copied_bytes_max = 256 << 10;  // in memory, for each client
constexpr uint64_t run_bytes_min = 64 << 10;      // what is shorter is copied with its neighbours

}  // namespace

Task<Result<void>> Resource::send(uint64_t offset, uint64_t length, SocketSender& to) {
  VERIFY(home_.on_thread());
  if (Result<void> inside = within(offset, length); !inside) co_return inside;
  std::optional<AlignedBuffer> buffer;
  for (const uint64_t end = offset + length; offset < end;) {
    const uint64_t region_end = (offset / region_bytes + 1) * region_bytes;
    const uint64_t window = std::min(end, region_end) - offset;
    Result<void> resolved = co_await resolve(offset, window);
    if (!resolved) co_return resolved;
    Result<uint64_t> sent = co_await send_some(offset, window, to, buffer);
    if (!sent) co_return std::move(sent.error());
    offset += *sent;
  }
  co_return Result<void>{};
}

/// At least one byte of the range, which is resolved; answers how many.
Task<Result<uint64_t>> Resource::send_some(uint64_t offset, uint64_t length, SocketSender& to,
                                           std::optional<AlignedBuffer>& buffer) {
  std::vector<Segment> segments;
  plan(offset, length, segments);
  const Segment first = segments.front();
  const Source& source = first.source;
  const bool is_long = first.length >= std::min(run_bytes_min, length);
  if (is_long && source.kind == SourceKind::zero) {
    Result<void> sent = co_await to.send_zeros(first.length);
    if (!sent) co_return std::move(sent.error());
    co_return first.length;
  }
  const uint64_t in_chunk = offset % region_bytes;
  if (is_long && source.kind == SourceKind::content && source.length > small_content_max && in_chunk < source.length) {
    Result<std::optional<FileRange>> opened{std::optional<FileRange>{}};
    {
      const ReadEpochs::Reading reading{epochs_};
      opened = co_await stores_.data.open_content(source.digest, source.length);
    }
    if (!opened) co_return std::move(opened.error());
    if (const std::optional<FileRange> file = std::move(*opened)) {
      Result<uint64_t> sent =
          co_await to.send_cached(file->fd, in_chunk, std::min(first.length, source.length - in_chunk));
      if (!sent) co_return std::move(sent.error());
      stores_.data.count_sent(*sent);
      if (*sent > 0) co_return *sent;
    }
  }
  uint64_t copied = first.length;
  for (size_t at = 1; at < segments.size() && segments[at].length < run_bytes_min; at++) copied += segments[at].length;
  copied = std::min(copied, copied_bytes_max);
  if (!buffer) buffer.emplace(copied_bytes_max);
  const MutableBytes piece = buffer->bytes().first(copied);
  // The chunk was waited for: a shrink may have come meanwhile.
  Result<void> resolved = co_await resolve(offset, copied);
  if (!resolved) co_return std::move(resolved.error());
  Result<void> read = co_await read_mapped(offset, piece);
  if (!read) co_return std::move(read.error());
  Result<void> sent = co_await to.send(piece);
  if (!sent) co_return std::move(sent.error());
  co_return uint64_t{piece.size()};
}

}  // namespace atl
