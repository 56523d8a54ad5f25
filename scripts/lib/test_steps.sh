# shellcheck shell=bash
# What the steps of scripts/test do. Sourced; a step ends at its first command that fails.
# shellcheck disable=SC2154 # root, logs and filter are the caller's

bin=node_modules/.bin

set_up() {
  lock_checkout
  need_packages "${packages_build[@]}" "${packages_check[@]}"
  if wants fuzz; then need_packages "${packages_fuzz[@]}"; fi
  if wants tap || wants e2e || wants crash; then need_packages "${packages_clients[@]}"; fi
  if wants e2e || wants crash; then
    need_packages "${packages_e2e[@]}" "${packages_newest_clients[@]}" "${packages_power_cuts[@]}"
    # The kernel of the guests is downloaded by its exact version, which old lists get wrong.
    [[ -d .cache/guest/kernel-2 ]] || ! command -v apt-get >/dev/null || apt_update
  fi
  # Without root the tests that need the tree fail and say so.
  if wants e2e && ((EUID == 0)); then quietly newest-clients 'the newest NBD clients (Debian 13)' scripts/newest-clients; fi
  need_node
  need_npm_packages
  say '  all is there'
}

native_sources() { git ls-files --cached --others --exclude-standard 'native/*.cc' 'native/*.h' 'test/*.cc' 'testkit/*.cc' | existing; }
shell_sources() { git grep --untracked -lE '^#!.*\b(ba)?sh$|^# shellcheck shell=' -- scripts test .ci | existing; }
existing() { while read -r path; do [[ ! -f $path ]] || printf '%s\n' "$path"; done; }

check_format() {
  local bad=0
  "$bin/biome" format . || bad=1
  native_sources | xargs --no-run-if-empty clang-format-14 --dry-run --Werror || bad=1
  return "$bad"
}
check_lint() {
  local bad=0
  "$bin/biome" lint --error-on-warnings . || bad=1
  shell_sources | xargs --no-run-if-empty shellcheck --external-sources || bad=1
  return "$bad"
}
check_floors() { scripts/check-floors; }
check_types() { "$bin/tsc" --noEmit; }
check_unused() { "$bin/knip" --no-progress --no-config-hints --include files,dependencies,unlisted,unresolved,exports,types,duplicates,classMembers; }

# build_native_tests FOLDER CMAKE_OPTION…
build_native_tests() {
  local out=$1
  shift
  drop_foreign_build "$out" "$root/native"
  quietly "configure-${out##*/}" "configuring $out" \
    cmake -S native -B "$out" -G 'Unix Makefiles' -DATOLL_TESTS=ON -DATOLL_ADDON=OFF "$@"
  quietly "build-${out##*/}" "building $out" cmake --build "$out" --parallel "$(nproc)"
}

doctest() {
  local program=$1
  shift
  "$program" --no-colors=true --no-intro=true --no-version=true ${filter:+"--test-case=*$filter*"} "$@"
}

native_plain() {
  build_native_tests build/native
  doctest build/native/atoll_tests
}

# The same seeds each time, and some that nobody has seen; they are printed, and a failure is cut down to a short script.
sim_crashes() { scripts/simulate --runs 15000 --fresh 3000; }
# Each rule of the engine that can be broken on purpose is seen to be broken (docs/internals/reliability.md has the table).
sim_mutations() { scripts/simulate --mutations --seeds-max 3000; }

native_asan() {
  build_native_tests build/asan -DATOLL_SANITIZE=address
  ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 doctest build/asan/atoll_tests
}

native_tsan() {
  build_native_tests build/tsan -DATOLL_SANITIZE=thread
  TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=$root/native/test/tsan.supp \
    doctest build/tsan/atoll_tests "--test-suite=threads*"
}

# One failure for each target that breaks something.
fuzz_shortly() { scripts/fuzz --seconds 8; }

build_all() {
  need_addon
  need_dist
}

# run_tap JOBS TIMEOUT_S FILE…: in this order; files that fail are run again.
run_tap() { node scripts/lib/run_tap.js "$@"; }

test_files() { find test -name '*.test.ts' | sort | grep -F -- "$filter"; }
