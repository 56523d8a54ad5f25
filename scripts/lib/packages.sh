# shellcheck shell=bash disable=SC2034
# The Debian and Ubuntu packages that Atoll needs. Sourced.

# To build and run it.
packages_build=(
  ca-certificates ccache cmake g++ libgnutls28-dev liburing-dev librocksdb-dev libssl-dev make pkg-config python3
)

# For the checks and the native tests. One version of clang-format everywhere: each formats a little differently.
packages_check=(
  clang-format-14 doctest-dev git shellcheck
)

# For the tests of the APIs: the database, the clients and the test suite tempest. rocksdb-tools damages records for the tests of check;
# systemd verifies the units.
packages_clients=(
  libnbd-bin postgresql python3-cinderclient python3-glanceclient python3-keystoneclient python3-libnbd
  python3-openstackclient python3-swiftclient python3-tempest qemu-utils rocksdb-tools systemd
)

# For the tests with machines, disks and NBD clients.
packages_e2e=(
  attr busybox-static cpio diffutils e2fsprogs extlinux fdisk fio fuse3 kmod libfaketime mount nbd-client nbdkit
  iproute2 libxml2-utils openssl procps python3-libnbd prometheus qemu-system-x86 qemu-utils socat syslinux-common util-linux xz-utils zstd
)

# For scripts/newest-clients: the tools that make a Debian 13 tree, and the keys that its packages are signed with.
packages_newest_clients=(
  debian-archive-keyring mmdebstrap mount util-linux
)

# For power cuts: a disk that records what it is given (FUSE), file systems on it, and the writer that judges.
packages_power_cuts=(
  btrfs-progs e2fsprogs fuse3 libfuse3-dev mount python3-libnbd util-linux xfsprogs
)

# What scripts/bench compares Atoll with, and the clients that load both.
packages_bench=(
  curl fio libnbd-bin nbd-server nbdkit nginx openssl python3-libnbd qemu-utils wrk
)

# For scripts/fuzz: one version of clang, as its coroutines and sanitizers differ.
packages_fuzz=(
  clang-14 libclang-rt-14-dev llvm-14
)
