#include "store/local/rocks_log.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

#include "store/local_directory.h"

namespace atl {
namespace {

constexpr size_t line_bytes_max = 1024;

class RocksLogger final : public rocksdb::Logger {
 public:
  explicit RocksLogger(LogLine log) : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL), log_(std::move(log)) {}

  /// A header lists options and versions at every start.
  void LogHeader(const char* /*format*/, va_list /*arguments*/) override {}

  void Logv(const char* format, va_list arguments) override {
    Logv(rocksdb::InfoLogLevel::INFO_LEVEL, format, arguments);
  }

  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (!log_ || level < GetInfoLogLevel() || level >= rocksdb::InfoLogLevel::HEADER_LEVEL) return;
    char text[line_bytes_max];
    if (std::vsnprintf(text, sizeof text, format, arguments) < 0) return;
    std::string_view line{text};
    while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.remove_suffix(1);
    const bool error = level >= rocksdb::InfoLogLevel::ERROR_LEVEL;
    log_(error ? LogLevel::error : LogLevel::warn, "records: RocksDB: " + std::string{line});
  }

 private:
  const LogLine log_;
};

/// LOG, or LOG.old. and digits.
bool is_log_file(std::string_view name) {
  constexpr std::string_view old = "LOG.old.";
  if (name == "LOG") return true;
  if (!name.starts_with(old) || name.size() == old.size()) return false;
  return name.find_first_not_of("0123456789", old.size()) == std::string_view::npos;
}

}  // namespace

std::shared_ptr<rocksdb::Logger> rocks_logger(LogLine log) { return std::make_shared<RocksLogger>(std::move(log)); }

Result<void> remove_rocks_log_files(const std::string& directory) {
  std::vector<std::string> names;
  Result<void> listed = list_directory(directory, [&](std::string_view name) {
    if (is_log_file(name)) names.emplace_back(name);
  });
  if (!listed) return listed;
  for (const std::string& name : names)
    if (::unlink((directory + "/" + name).c_str()) != 0 && errno != ENOENT)
      return Error::from_errno(errno, "removing " + directory + "/" + name);
  return {};
}

}  // namespace atl
