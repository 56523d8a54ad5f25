#!/usr/bin/env bash
# Builds the addon: build/cmake/Release/atoll.node. Quick when nothing has changed. binding.gyp and `npm run build:native` call it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

out=build/cmake
# A cache of another place (a checkout that was moved or copied) is of no use.
if [[ -f $out/CMakeCache.txt ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD/native" "$out/CMakeCache.txt"; then
  rm -rf "$out"
fi
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
npx --no-install cmake-js build -d native -O "$out" -G 'Unix Makefiles' --log-level warn
