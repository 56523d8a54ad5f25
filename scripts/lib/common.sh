# shellcheck shell=bash
# What scripts/serve and scripts/test share: words on the terminal, and bringing this checkout up to date.
# Sourced; the current folder is the root of the checkout from then on.
#
# Invariants
#   1. Everything that is made here lies in ignored folders of the checkout (node_modules, build, dist), apt packages aside.
#   2. Each step finds out by itself whether there is anything to do, and is quick when there is not.
#   3. Nothing asks a question: there may be nobody, and no standard input.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1
# shellcheck source=scripts/lib/packages.sh
source scripts/lib/packages.sh
# shellcheck source=scripts/lib/foreign_build.sh
source scripts/lib/foreign_build.sh

logs=$root/build/logs
mkdir -p "$logs"

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# print_help_if_asked ARGUMENT…: for --help, prints the comment at the head of the script, and ends. Call it before anything is set up.
print_help_if_asked() {
  local argument
  for argument in "$@"; do
    if [[ $argument == -h || $argument == --help ]]; then
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$root/scripts/${0##*/}"
      exit
    fi
  done
}

# quietly LOG WHAT COMMAND…: its output goes to a file, and to the terminal when it fails.
quietly() {
  local log=$logs/$1.log what=$2 start=$SECONDS
  shift 2
  say "  $what …"
  if "$@" >"$log" 2>&1 </dev/null; then
    say "  $what: done in $((SECONDS - start)) s"
  else
    # Both ends of it: what went wrong is at one of them.
    if (($(wc -l <"$log") > 120)); then
      { head -n 40 "$log" && say '  […]' && tail -n 60 "$log"; } >&2
    else
      cat "$log" >&2
    fi
    die "$what failed; all of its output is in ${log#"$root"/}"
  fi
}

# Two of these scripts at once in one checkout would build into the same folders. The lock goes with the process
# (file descriptor 9), or earlier by unlock_checkout.
lock_checkout() {
  exec 9>"$root/build/.setup.lock"
  if ! flock --nonblock 9; then
    say '  waiting for another script that sets this checkout up'
    flock 9
  fi
}
unlock_checkout() { exec 9>&-; }

# ---- apt ----

apt_has() { dpkg-query --show --showformat '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

# apt ARGUMENT…: apt-get as root, without questions.
apt() {
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "as root, run: apt-get $*"
    as_root=(sudo)
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --yes --option DPkg::Lock::Timeout=300 "$@"
}

apt_update() {
  [[ ${apt_updated:-} ]] || quietly apt-update 'apt-get update' apt update
  apt_updated=yes
}

# need_packages PACKAGE…: installs those that are missing.
need_packages() {
  local package missing=()
  if ! command -v dpkg-query >/dev/null; then
    # The build itself names what it does not find.
    say "  not Debian or Ubuntu: please have installed what these packages hold: $*"
    return
  fi
  for package in "$@"; do
    apt_has "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  say "  missing packages: ${missing[*]}"
  apt_update
  quietly apt-install 'apt-get install' apt install --no-install-recommends "${missing[@]}"
}

# need_packages_without_services PACKAGE…: servers among them are not started (Debian's policy-rc.d).
need_packages_without_services() {
  local package policy=/usr/sbin/policy-rc.d as_root=()
  for package in "$@"; do apt_has "$package" || break; done
  if apt_has "$package" || [[ -e $policy ]]; then
    need_packages "$@"
    return
  fi
  ((EUID == 0)) || as_root=(sudo)
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  # shellcheck disable=SC2064 # as it is now; on die as well
  trap "${as_root[*]} rm -f $policy" EXIT
  need_packages "$@"
  trap - EXIT
  "${as_root[@]}" rm -f "$policy"
}

# ---- Node and its packages ----

node_is_enough() {
  command -v node >/dev/null && command -v npm >/dev/null &&
    node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 17) ? 0 : 1)'
}

need_node() {
  node_is_enough && return
  if ! command -v node >/dev/null && command -v apt-cache >/dev/null; then
    apt_update
    local candidate
    candidate=$(apt-cache policy nodejs | sed -n 's/^ *Candidate: //p')
    if dpkg --compare-versions "${candidate/(none)/0}" ge 20.17; then
      need_packages nodejs
      command -v npm >/dev/null || need_packages npm
    fi
  fi
  node_is_enough || die "Node.js 20.17 or newer with npm is needed; found: $(node --version 2>/dev/null || echo none).
  The packages of this system do not have it. Install it from nodejs.org or with a version manager, then run this again."
}

# What node_modules was made from. The addons in it belong to one ABI of Node.
npm_wanted() { { node -p 'process.versions.modules + process.arch' && cat package-lock.json; } | sha256sum; }

need_npm_packages() {
  local stamp=node_modules/.atoll-lock wanted
  wanted=$(npm_wanted)
  [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return
  # It runs the install script of Atoll itself too, and with it the native build. What it compiles (SQLite) goes through
  # Debian's compiler links of ccache: a minute less in the next clone on this machine.
  quietly npm-ci 'npm ci (the first time this compiles for some minutes)' \
    env PATH="/usr/lib/ccache:$PATH" npm ci --no-audit --no-fund
  printf '%s\n' "$wanted" >"$stamp"
}

# ---- Atoll ----

need_addon() { quietly addon 'native build' bash scripts/lib/build_addon.sh; }

need_dist() {
  local stamp=dist/.made-from wanted names
  names=$(find src -type f | sort | sha256sum)
  wanted=$(find src package.json tsconfig.json tsconfig.build.json -type f -printf '%p %T@ %s\n' | sort | sha256sum)
  [[ -f $stamp && -L node_modules/.bin/atoll && $(<"$stamp") == "$names$wanted" ]] && return
  # What was compiled from a file that is gone must go as well.
  [[ -f $stamp && $(<"$stamp") == "$names"* ]] || rm -rf dist
  quietly tsc 'TypeScript build' npm run build
  printf '%s\n' "$names$wanted" >"$stamp"
}
