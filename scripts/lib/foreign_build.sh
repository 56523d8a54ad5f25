# shellcheck shell=bash
# drop_foreign_build FOLDER SOURCE: removes a build folder of CMake that was made from another source folder (the checkout
# was moved or copied): CMake refuses to use it. Sourced.
drop_foreign_build() {
  if [[ -f $1/CMakeCache.txt ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$2" "$1/CMakeCache.txt"; then
    rm -rf "$1"
  fi
}
