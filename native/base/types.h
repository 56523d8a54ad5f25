// types.h: the units and addresses of the engine. Types keep addresses apart; names carry the unit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace atl {

constexpr uint32_t block_bytes = 4096;       // the unit of copy-on-write
constexpr uint32_t region_bytes = 4u << 20;  // the unit of metadata records
constexpr uint32_t blocks_per_region = region_bytes / block_bytes;
static_assert(region_bytes % block_bytes == 0 && blocks_per_region == 1024);

/// The largest resource: 2^32 regions would overflow RegionIndex; 8 PiB is far beyond any volume.
constexpr uint64_t max_resource_bytes = uint64_t{8} << 50;

/// How many regions the first `blocks` blocks of a resource touch; at most those of the largest resource.
constexpr uint32_t regions_of_blocks(uint64_t blocks) {
  constexpr uint64_t most = max_resource_bytes / block_bytes;
  return static_cast<uint32_t>(((blocks < most ? blocks : most) + blocks_per_region - 1) / blocks_per_region);
}

/// Given out by the catalog, never used again. Below 2^53, so that a JavaScript number holds it.
enum class LayerId : uint64_t { none = 0 };

/// The private data of one layer; its number is that of the layer that first wrote to it.
enum class DataFileId : uint64_t { none = 0 };

/// Offset in a resource divided by region_bytes.
enum class RegionIndex : uint32_t {};

constexpr uint64_t number(LayerId id) { return static_cast<uint64_t>(id); }
constexpr uint64_t number(DataFileId id) { return static_cast<uint64_t>(id); }
constexpr uint32_t number(RegionIndex index) { return static_cast<uint32_t>(index); }
/// Of byte `offset` of a resource.
constexpr RegionIndex region_of(uint64_t offset) { return RegionIndex{static_cast<uint32_t>(offset / region_bytes)}; }
constexpr DataFileId data_file_of(LayerId layer) { return DataFileId{number(layer)}; }

/// SHA-256 of a content chunk's bytes.
struct Digest {
  std::array<uint8_t, 32> bytes{};
  friend bool operator==(const Digest&, const Digest&) = default;
  friend auto operator<=>(const Digest&, const Digest&) = default;
  /// 64 lower-case hexadecimal digits.
  std::string hex() const;
  /// Of exactly such digits.
  static std::optional<Digest> parse(std::string_view hex);
};

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

}  // namespace atl

template <>
struct std::hash<atl::Digest> {
  size_t operator()(const atl::Digest& digest) const noexcept {
    // A digest is uniformly distributed already: any eight bytes of it are a hash.
    uint64_t word = 0;
    for (int i = 0; i < 8; i++) word = word << 8 | digest.bytes[static_cast<size_t>(i)];
    return word;
  }
};
