// meta_context.h: metadata contexts: what an export offers, what a client asks for, which of them it gets; no socket.
//
// proto.md "Metadata querying". A context is named `namespace:leaf`; the leaf may have parts of its own (`qemu:dirty-bitmap:x`).
// A query selects the context of exactly its name. In LIST_META_CONTEXT a query that ends in a colon stands for every name that
// begins with it, and no query at all for every name. Queries that match nothing, of whatever namespace, select nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/block_device.h"

namespace atl {

/// A context that an export offers.
struct MetaContext {
  std::string name;
  StatusQuestion question;
  /// What must stay open while a client may ask this question.
  std::shared_ptr<const void> held;
};

/// What one LIST_META_CONTEXT or SET_META_CONTEXT asks for.
struct MetaQueries {
  bool list = false;
  std::vector<std::string> names;

  /// Whether this context is among what is asked for.
  bool match(std::string_view context) const;
  /// Whether more than base:allocation can match, so that the export's owner has to be asked what there is.
  bool beyond_base() const;
};

}  // namespace atl

namespace atl::nbd {

/// A context of a connection, with the number that BLOCK_STATUS calls it by.
struct SelectedContext : MetaContext {
  uint32_t id = 0;
};

/// base:allocation first, then those of `offered` that the queries match, each name once; ids from 1 on.
std::vector<SelectedContext> select_contexts(const MetaQueries& queries, const std::vector<MetaContext>& offered);

}  // namespace atl::nbd
