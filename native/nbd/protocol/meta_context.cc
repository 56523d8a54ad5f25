#include "nbd/protocol/meta_context.h"

#include <algorithm>

#include "nbd/protocol/protocol.h"

namespace atl {

bool MetaQueries::match(std::string_view context) const {
  if (list && names.empty()) return true;
  return std::any_of(names.begin(), names.end(), [&](const std::string& query) {
    return query == context || (list && query.ends_with(':') && context.starts_with(query));
  });
}

bool MetaQueries::beyond_base() const {
  if (list && names.empty()) return true;
  return std::any_of(names.begin(), names.end(), [](const std::string& query) {
    return query.find(':') != std::string::npos && !query.starts_with(nbd::base_namespace);
  });
}

}  // namespace atl

namespace atl::nbd {

std::vector<SelectedContext> select_contexts(const MetaQueries& queries, const std::vector<MetaContext>& offered) {
  std::vector<SelectedContext> selected;
  const auto take = [&](const MetaContext& context) {
    const bool twice = std::any_of(selected.begin(), selected.end(),
                                   [&](const SelectedContext& other) { return other.name == context.name; });
    if (twice || !queries.match(context.name)) return;
    selected.push_back({context, static_cast<uint32_t>(selected.size() + 1)});
  };
  take(MetaContext{std::string(base_allocation), {}, {}});
  for (const MetaContext& context : offered) take(context);
  return selected;
}

}  // namespace atl::nbd
