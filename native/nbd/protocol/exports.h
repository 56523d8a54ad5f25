// exports.h: what the server asks of its owner: which export is behind a name, and which names may be listed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "engine/block_device.h"
#include "nbd/protocol/meta_context.h"

namespace atl {

/// Which listener a connection came through; names are resolved by it (design: "the operator's door", "the tenants' door").
enum class Door : uint8_t { operator_door, tenant };

/// Of a listener. off: STARTTLS is unknown; opportunistic: for who asks for it; required: nothing is answered before it.
/// (proto.md "TLS support": NOTLS, SELECTIVETLS without TLS-only exports, FORCEDTLS.)
enum class TlsMode : uint8_t { off, opportunistic, required };

/// proto.md "Block size constraints". All in bytes.
///
/// minimum 1: the engine merges partial blocks itself, so no client is refused and qemu may send what its guest sends.
/// preferred 4096: the block of copy-on-write. maximum 64 MiB: what libnbd and nbdkit take as the largest payload; qemu
/// never sends more than 32 MiB and the kernel's client less, so no client is cut short by it.
struct BlockSizes {
  uint32_t minimum = 1;
  uint32_t preferred = 4096;
  uint32_t maximum = 64u << 20;
};

struct OpenExport {
  /// Released on its home executor when the connection ends; that gives back the lease.
  std::shared_ptr<BlockDevice> device;
  bool read_only = false;   // in addition to what the device says
  std::string label;        // what counters call it, where names are secrets; empty: its canonical name
  std::string description;  // empty: none
  BlockSizes block_sizes{};
  std::string project;  // whose share of the connections is used; empty: nobody's
};

/// A connection that ended because of TLS; for the log.
struct TlsFailure {
  Door door{};
  std::string peer;   // HOST:PORT
  std::string words;  // what went wrong, in printable characters
  uint64_t unsaid;    // how many more there were since the last report
};

/// A client's request that what is beneath the export could not do: io, corrupt or no_space; for the log.
struct RequestFailure {
  Door door{};
  std::string label;    // the export's, as counters call it
  const char* command;  // by its name in proto.md, without NBD_CMD_
  uint64_t offset;
  uint64_t length;  // 0: the command is about no range
  Error error;
  uint64_t unsaid;  // how many more there were since the last report; of any export
};

class ExportResolver {
 public:
  virtual ~ExportResolver() = default;
  /// The canonical name of the export that `name` stands for: open() and contexts() are called with it, INFO_NAME reports it, and
  /// NbdServer::disconnect() and reconnect() find connections by it. Called as open() is, before it, so that a disconnect either
  /// finds the connection by its canonical name or comes before open() looks. Need not know whether the export exists. An error of
  /// code `not_found` carries a message for the operator's clients, for example which exports share the name.
  virtual Task<Result<std::string>> canonical_name(Door door, std::string name) {
    (void)door;
    co_return name;
  }
  /// Called on the connection's loop and resumes there. nullopt: no such export. `name` is valid UTF-8, at most 4096 bytes.
  virtual Task<Result<std::optional<OpenExport>>> open(Door door, std::string name) = 0;
  /// What the export of this name offers beside base:allocation and `queries` may match (more is no harm). Called as open() is,
  /// after it answered an export; one export may have thousands of contexts, so nothing is asked of those that nobody names.
  virtual Task<Result<std::vector<MetaContext>>> contexts(Door door, std::string name, MetaQueries queries) {
    (void)door, (void)name, (void)queries;
    co_return std::vector<MetaContext>{};
  }
  /// An error of code `unsupported` or `read_only` means that this door lists nothing (ERR_POLICY).
  virtual Task<Result<std::vector<std::string>>> list(Door door) = 0;
  /// Called on any loop, a bounded number of times in a second. Must not wait.
  virtual void tls_failed(const TlsFailure& failure) = 0;
  /// Likewise.
  virtual void request_failed(const RequestFailure& failure) = 0;
};

}  // namespace atl
