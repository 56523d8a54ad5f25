#!/usr/bin/env bash
# Builds the addon: build/cmake/Release/atoll.node. Quick when nothing has changed. binding.gyp and `npm run build:native` call it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# native/CMakeLists.txt uses ccache by itself; not twice.
PATH=${PATH//\/usr\/lib\/ccache:/}

missing=()
for need in cmake:cmake c++:g++ make:make pkg-config:pkg-config; do
  command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
done
if ((${#missing[@]})); then
  # The libraries are looked for by native/CMakeLists.txt, which names those it misses.
  echo "Atoll's native part is compiled here, and tools are missing. On Debian or Ubuntu: apt-get install ${missing[*]}" >&2
  exit 1
fi

out=build/cmake
# shellcheck source=scripts/lib/foreign_build.sh
source scripts/lib/foreign_build.sh
drop_foreign_build "$out" "$PWD/native"
# Called from a makefile (node-gyp), this is a build of its own.
unset MAKEFLAGS MAKELEVEL MFLAGS
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
# From native/, as the test builds: equal commands in folders of equal depth share what ccache has compiled.
node_modules/.bin/cmake-js build --directory native --out "$PWD/$out" -G 'Unix Makefiles' --log-level warn
