// device_use_test.cc: the users of a device, from trees in the form of /proc and /sys.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "attach/device_use.h"

namespace atl::attach {
namespace {

namespace fs = std::filesystem;
using Phrases = std::vector<std::string>;

/// A machine with /dev/nbd0, its partition nbd0p1, and /dev/nbd01, which is another device.
class Machine {
 public:
  Machine() {
    char name[] = "/tmp/atoll-device-use-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    dir_ = name;
    write("sys/block/nbd0/dev", "43:0\n");
    write("sys/block/nbd0/nbd0p1/dev", "43:1\n");
    write("sys/block/nbd01/dev", "43:32\n");
    write("proc/self/mountinfo", "22 1 0:21 / /proc rw,nosuid - proc proc rw\n");
    write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
  }
  ~Machine() { fs::remove_all(dir_); }
  SystemPaths paths() const { return {dir_ / "proc", dir_ / "sys", "/dev"}; }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((dir_ / path).parent_path());
    std::ofstream(dir_ / path, std::ios::app) << text;
  }
  void link(const std::string& path, const std::string& target) {
    fs::create_directories((dir_ / path).parent_path());
    fs::create_symlink(target, dir_ / path);
  }

 private:
  fs::path dir_;
};

TEST_CASE("attach: a device that nobody uses has no users, whatever other devices have") {
  Machine machine;
  machine.write("proc/self/mountinfo", "40 22 43:32 / /other rw shared:1 - ext4 /dev/nbd01 rw\n");
  machine.write("proc/swaps", "/dev/nbd01 partition 1024 0 -2\n");
  machine.link("proc/12/fd/3", "/dev/nbd01");
  machine.link("proc/12/fd/4", "/dev/null");
  CHECK(device_users(0, machine.paths()) == Phrases{});
  CHECK(mount_points(0, machine.paths()) == Phrases{});
}

TEST_CASE("attach: mounts are found by the number of the device or of a partition, and by the source") {
  Machine machine;
  machine.write("proc/self/mountinfo",
                "40 22 43:0 / /mnt rw,noatime shared:1 master:2 - ext4 /dev/root rw\n"
                "41 22 43:1 /sub /a\\040b rw - xfs /dev/disk/by-id/x rw\n"
                "42 22 0:55 / /btrfs rw shared:7 - btrfs /dev/nbd0 rw\n");
  CHECK(mount_points(0, machine.paths()) == Phrases{"/mnt", "/a\\040b", "/btrfs"});
  CHECK(device_users(0, machine.paths()) ==
        Phrases{"mounted on /mnt (/dev/nbd0)", "mounted on /a\\040b (/dev/nbd0p1)", "mounted on /btrfs (/dev/nbd0)"});
}

TEST_CASE("attach: swap, holders, loop devices and open descriptors are users") {
  Machine machine;
  machine.write("proc/swaps", "/dev/nbd0p1\tpartition\t1024\t0\t-2\n");
  machine.write("sys/block/nbd0/nbd0p1/holders/dm-3", "");
  machine.write("sys/block/nbd0/holders/md127", "");
  machine.write("sys/block/loop7/loop/backing_file", "/dev/nbd0\n");
  machine.write("sys/block/loop8/loop/backing_file", "/images/nbd0\n");
  machine.write("proc/12/comm", "dd\n");
  machine.link("proc/12/fd/1", "/dev/nbd0p1");
  machine.link("proc/12/fd/2", "/dev/nbd0");  // one phrase for each process
  CHECK(device_users(0, machine.paths()) == Phrases{"swap (/dev/nbd0p1)", "held by /dev/md127 (/dev/nbd0)",
                                                    "held by /dev/dm-3 (/dev/nbd0p1)", "backing /dev/loop7 (/dev/nbd0)",
                                                    "open in process 12 (dd, /dev/nbd0p1)"});
}

TEST_CASE("attach: at most 16 users are named") {
  Machine machine;
  for (int i = 0; i < 40; i++)
    machine.write("proc/self/mountinfo",
                  "4" + std::to_string(i) + " 22 43:0 / /m" + std::to_string(i) + " rw - ext4 x rw\n");
  const Phrases users = device_users(0, machine.paths());
  REQUIRE(users.size() == 17);
  CHECK(users.back() == "and 24 more");
}

}  // namespace
}  // namespace atl::attach
