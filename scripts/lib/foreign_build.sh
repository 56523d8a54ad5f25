# shellcheck shell=bash
# drop_foreign_build FOLDER: removes a build folder of CMake that was made for a checkout at another place (one that was
# moved or copied): CMake refuses to use it. Sourced, in the root of the checkout.
drop_foreign_build() {
  if [[ -f $1/CMakeCache.txt ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD/native" "$1/CMakeCache.txt"; then
    rm -rf "$1"
  fi
}
