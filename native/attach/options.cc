#include "attach/options.h"

#include <getopt.h>

#include <charconv>
#include <cstring>

namespace atl::attach {

const char* const usage =
    "usage:\n"
    "  atoll-attach [options] URI [/dev/nbdN]  attach an export as a block device (default: a free one)\n"
    "  atoll-attach --resume /dev/nbdN         take over a device whose keeper was killed\n"
    "  atoll-attach --resize /dev/nbdN         let a device follow its export, which has grown\n"
    "  atoll-attach --detach /dev/nbdN         detach a device that nobody uses\n"
    "  atoll-attach --list                     list attached devices\n"
    "\n"
    "URI:\n"
    "  nbd://HOST[:PORT]/NAME                  an export over TCP\n"
    "  nbd+unix:///NAME?socket=PATH            an export over a Unix socket\n"
    "  nbds://, nbds+unix://                   the same over TLS, with these parameters after ? or &:\n"
    "    tls-certificates=DIR                  folder of ca-cert.pem, client-cert.pem, client-key.pem\n"
    "    tls-psk-file=FILE                     keys, one USER:HEXKEY per line; the URI is nbds://USER@...\n"
    "    tls-hostname=NAME                     name the certificate must be for (default: HOST)\n"
    "    tls-verify-peer=false                 accept any certificate\n"
    "\n"
    "options:\n"
    "  -a, --address HOST[:PORT]   another address of the same export; may be repeated\n"
    "  -C, --connections N         connections to the server, 1 to 16 (default: 1)\n"
    "  -t, --timeout SECONDS       resend a request without a reply after, 1 to 86400 (default: 30)\n"
    "  -d, --dead-timeout SECONDS  fail requests after so long without a server, 1 to 604800 (default: 600)\n"
    "  -b, --block-size BYTES      block size: 512, 1024, 2048 or 4096 (default: 512)\n"
    "  -f, --foreground            stay in the foreground and log to stderr\n"
    "      --force                 with --detach: detach a device that is in use, and lose its data\n"
    "  -h, --help                  show this help\n"
    "  -V, --version               show the version\n"
    "\n"
    "exit status: 0 for success, 1 for a failure, 2 for a wrong command line\n";

namespace {

constexpr const char* device_prefix = "/dev/nbd";
constexpr uint32_t index_max = 4095;
constexpr size_t addresses_max = 15;

Result<uint32_t> number_from(const char* text, const char* what, uint32_t least, uint32_t most) {
  uint32_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stopped, failed] = std::from_chars(text, end, value);
  if (failed != std::errc{} || stopped != end || value < least || value > most)
    return Error{Code::invalid, std::string(what) + ": expected a number from " + std::to_string(least) + " to " +
                                    std::to_string(most) + ", got \"" + text + "\""};
  return value;
}

Result<uint32_t> index_from(const char* device) {
  if (std::strncmp(device, device_prefix, std::strlen(device_prefix)) == 0)
    if (const Result<uint32_t> index = number_from(device + std::strlen(device_prefix), device, 0, index_max); index)
      return *index;
  return Error{Code::invalid, std::string("expected a device such as /dev/nbd0, got \"") + device + "\""};
}

/// Returns the option that chooses the task. Requires a task of devices that are attached.
const char* name_of(Options::Task task) {
  switch (task) {
    case Options::Task::resume: return "--resume";
    case Options::Task::resize: return "--resize";
    case Options::Task::detach: return "--detach";
    default: return "--list";
  }
}

/// Only one task at a time.
Result<void> choose(Options& options, Options::Task task) {
  if (options.task != Options::Task::attach && options.task != task)
    return Error{Code::invalid, "expected one of --resume, --resize, --detach and --list, got two"};
  options.task = task;
  return {};
}

Result<void> positional_from(Options& options, int count, char** arguments) {
  const bool attaching = options.task == Options::Task::attach;
  const int least = options.task == Options::Task::list ? 0 : 1;
  const int most = attaching ? 2 : least;
  if (count < least)
    return Error{Code::invalid,
                 std::string("expected ") + (attaching ? "a URI" : "a device such as /dev/nbd0") + ", got nothing"};
  if (count > most)
    return Error{Code::invalid, std::string("expected no more arguments, got \"") + arguments[most] + "\""};
  if (attaching) {
    Result<ExportUri> uri = parse_uri(arguments[0]);
    if (!uri) return uri.error();
    options.state.uri = std::move(*uri);
  }
  if (count == (attaching ? 2 : 1)) {
    Result<uint32_t> index = index_from(arguments[count - 1]);
    if (!index) return index.error();
    options.index = *index;
  }
  return {};
}

Result<void> add_address(Options& options, const char* text) {
  std::vector<Address>& addresses = options.state.more_addresses;
  Result<Address> address = parse_address(text);
  if (!address) return Error{Code::invalid, "--address: " + address.error().message + ", got \"" + text + "\""};
  if (addresses.size() == addresses_max)
    return Error{Code::invalid, "--address: expected it at most " + std::to_string(addresses_max) + " times"};
  addresses.push_back(std::move(*address));
  return {};
}

/// Options that the task has no use for would be ignored. `of_attaching`: one of those that go with a URI; null: none was given.
Result<void> fits_together(const Options& options, const char* of_attaching) {
  if (of_attaching != nullptr && options.task != Options::Task::attach)
    return Error{Code::invalid, std::string(of_attaching) + ": expected a URI with it, got " + name_of(options.task)};
  if (options.foreground && options.task != Options::Task::attach && options.task != Options::Task::resume)
    return Error{Code::invalid,
                 std::string("--foreground: expected a URI or --resume with it, got ") + name_of(options.task)};
  if (options.force && options.task != Options::Task::detach)
    return Error{Code::invalid, "--force: expected --detach with it"};
  if (!options.state.more_addresses.empty() && options.task == Options::Task::attach && options.state.uri.host.empty())
    return Error{Code::invalid, "--address: expected a URI with a host, got one of a unix socket"};
  return {};
}

}  // namespace

Result<Options> options_from(int argc, char** argv) {
  Options options;
  DeviceSettings& device = options.state.device;
  device.timeout_s = 30;
  device.dead_timeout_s = 600;
  enum : int { resume = 256, resize, detach, list, force };
  static const option names[] = {{"address", required_argument, nullptr, 'a'},
                                 {"connections", required_argument, nullptr, 'C'},
                                 {"timeout", required_argument, nullptr, 't'},
                                 {"dead-timeout", required_argument, nullptr, 'd'},
                                 {"block-size", required_argument, nullptr, 'b'},
                                 {"foreground", no_argument, nullptr, 'f'},
                                 {"force", no_argument, nullptr, force},
                                 {"resume", no_argument, nullptr, resume},
                                 {"list", no_argument, nullptr, list},
                                 {"resize", no_argument, nullptr, resize},
                                 {"detach", no_argument, nullptr, detach},
                                 {"help", no_argument, nullptr, 'h'},
                                 {"version", no_argument, nullptr, 'V'},
                                 {nullptr, 0, nullptr, 0}};
  ::optind = 0;  // glibc: from the beginning, also when it was called before
  ::opterr = 0;
  const char* of_attaching = nullptr;
  for (int c; (c = ::getopt_long(argc, argv, ":a:C:t:d:b:fhV", names, nullptr)) != -1;) {
    const auto number = [&](uint32_t& into, const char* what, uint32_t least, uint32_t most) -> Result<void> {
      of_attaching = what;  // all options with numbers are
      Result<uint32_t> value = number_from(::optarg, what, least, most);
      if (!value) return value.error();
      into = *value;
      return {};
    };
    // Of a long option the last argument read is the option; of a short one it may be a group of letters.
    const auto given = [&] {
      const char* last = argv[::optind - 1];
      return std::strncmp(last, "--", 2) == 0 ? std::string(last) : std::string("-") + static_cast<char>(::optopt);
    };
    Result<void> read;
    switch (c) {
      case 'a':
        of_attaching = "--address";
        read = add_address(options, ::optarg);
        break;
      case 'C': read = number(options.state.connections, "--connections", 1, 16); break;
      case 't': read = number(device.timeout_s, "--timeout", 1, 86'400); break;
      case 'd': read = number(device.dead_timeout_s, "--dead-timeout", 1, 604'800); break;
      case 'b': read = number(device.block_bytes, "--block-size", 512, 4096); break;
      case 'f': options.foreground = true; break;
      case force: options.force = true; break;
      case resume: read = choose(options, Options::Task::resume); break;
      case list: read = choose(options, Options::Task::list); break;
      case resize: read = choose(options, Options::Task::resize); break;
      case detach: read = choose(options, Options::Task::detach); break;
      case 'h': options.task = Options::Task::help; return options;
      case 'V': options.task = Options::Task::version; return options;
      case ':': return Error{Code::invalid, given() + ": expected a value, got nothing"};
      default: return Error{Code::invalid, "expected an option from --help, got \"" + given() + "\""};
    }
    if (!read) return read.error();
  }
  if ((device.block_bytes & (device.block_bytes - 1)) != 0)
    return Error{Code::invalid, "--block-size: expected a power of two, got " + std::to_string(device.block_bytes)};
  if (Result<void> read = positional_from(options, argc - ::optind, argv + ::optind); !read) return read.error();
  if (Result<void> fits = fits_together(options, of_attaching); !fits) return fits.error();
  return options;
}

}  // namespace atl::attach
