// options_test.cc: the command line of atoll-attach.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "attach/options.h"

namespace atl::attach {
namespace {

using Arguments = std::vector<std::string>;

Result<Options> parsed(Arguments arguments) {
  arguments.insert(arguments.begin(), "atoll-attach");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return options_from(static_cast<int>(arguments.size()), argv.data());
}

TEST_CASE("attach: options are read before, between and after the URI and the device") {
  const Result<Options> options = parsed({"-C", "4", "--address", "[::1]:7", "-a", "other", "nbd://host/name",
                                          "--timeout=3", "/dev/nbd17", "--dead-timeout", "60", "-f", "-b4096"});
  REQUIRE(options.ok());
  CHECK(options->task == Options::Task::attach);
  CHECK(options->state.connections == 4);
  CHECK(options->state.uri.name == "name");
  CHECK(options->index == 17);
  CHECK(options->state.device.timeout_s == 3);
  CHECK(options->state.device.dead_timeout_s == 60);
  CHECK(options->state.device.block_bytes == 4096);
  CHECK(options->state.more_addresses == std::vector<Address>{{"::1", "7"}, {"other", "10809"}});
  CHECK(options->foreground);
}

TEST_CASE("attach: --help and --version need nothing else") {
  for (const char* help : {"-h", "--help"}) CHECK(parsed({help})->task == Options::Task::help);
  for (const char* version : {"-V", "--version"}) CHECK(parsed({version})->task == Options::Task::version);
}

TEST_CASE("attach: without a device a free one is asked for, and --list needs none") {
  const Result<Options> attach = parsed({"nbd://host/name"});
  REQUIRE(attach.ok());
  CHECK(attach->task == Options::Task::attach);
  CHECK_FALSE(attach->index.has_value());
  CHECK(parsed({"--list"})->task == Options::Task::list);
  const Result<Options> resume = parsed({"--resume", "-f", "/dev/nbd2"});
  REQUIRE(resume.ok());
  CHECK(resume->task == Options::Task::resume);
  CHECK(resume->index == 2);
}

TEST_CASE("attach: --detach takes a device, and --force with it") {
  const Result<Options> options = parsed({"--detach", "/dev/nbd3", "--force"});
  REQUIRE(options.ok());
  CHECK(options->task == Options::Task::detach);
  CHECK(options->force);
  CHECK(options->index == 3);
}

TEST_CASE("attach: a wrong command line is invalid, and the message names what is wrong") {
  struct Case {
    Arguments arguments;
    const char* message;
  };
  for (const Case& each :
       {Case{{}, "expected a URI, got nothing"},
        Case{{"nbd://host/name", "/dev/nbd0", "x"}, "expected no more arguments, got \"x\""},
        Case{{"nbd://host/name", "/dev/sda"}, "expected a device such as /dev/nbd0, got \"/dev/sda\""},
        Case{{"nbd://host/name", "/dev/nbd"}, "got \"/dev/nbd\""},
        Case{{"nbd://host/name", "/dev/nbd0p1"}, "got \"/dev/nbd0p1\""},
        Case{{"nbd://host/name", "/dev/nbd99999"}, "got \"/dev/nbd99999\""},
        Case{{"--detach"}, "expected a device such as /dev/nbd0, got nothing"},
        Case{{"--detach", "--resize", "/dev/nbd0"}, "expected one of"},
        Case{{"--resume"}, "expected a device such as /dev/nbd0, got nothing"},
        Case{{"--list", "/dev/nbd0"}, "expected no more arguments, got \"/dev/nbd0\""},
        Case{{"-a", "host:http", "nbd://host/name"}, "--address: expected HOST or HOST:PORT, got \"host:http\""},
        Case{{"-a", "host", "nbd+unix:///name?socket=/s"}, "--address: expected a URI with a host"},
        Case{{"--force", "nbd://host/name", "/dev/nbd0"}, "--force: expected --detach"},
        Case{{"--resume", "-a", "other", "/dev/nbd0"}, "--address: expected a URI with it, got --resume"},
        Case{{"-C", "2", "--detach", "/dev/nbd0"}, "--connections: expected a URI with it, got --detach"},
        Case{{"--resize", "--timeout=3", "/dev/nbd0"}, "--timeout: expected a URI with it, got --resize"},
        Case{{"--list", "-d", "60"}, "--dead-timeout: expected a URI with it, got --list"},
        Case{{"-b", "512", "--resume", "/dev/nbd0"}, "--block-size: expected a URI with it, got --resume"},
        Case{{"-f", "--detach", "/dev/nbd0"}, "--foreground: expected a URI or --resume with it, got --detach"},
        Case{{"--unknown"}, "got \"--unknown\""},
        Case{{"-fx"}, "got \"-x\""},
        Case{{"--timeout"}, "--timeout: expected a value, got nothing"},
        Case{{"-C", "0", "nbd://host/name", "/dev/nbd0"}, "--connections: expected a number from 1 to 16, got \"0\""},
        Case{{"-C", "17", "nbd://host/name", "/dev/nbd0"}, "got \"17\""},
        Case{{"-C", "4x", "nbd://host/name", "/dev/nbd0"}, "got \"4x\""},
        Case{{"-t", "99999999999999999999", "nbd://host/name", "/dev/nbd0"}, "--timeout: expected a number"},
        Case{{"-b", "513", "nbd://host/name", "/dev/nbd0"}, "--block-size: expected a power of two, got 513"}}) {
    const Result<Options> options = parsed(each.arguments);
    REQUIRE_FALSE(options.ok());
    CHECK(options.error().code == Code::invalid);
    CHECK_MESSAGE(options.error().message.find(each.message) != std::string::npos, options.error().message);
  }
}

}  // namespace
}  // namespace atl::attach
