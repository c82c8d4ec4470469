# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Configuring and compiling with Meson. Sourced after common.sh.

# compile FOLDER COMPILER OPTION...: a build folder that was there is brought up to date; one that
# Meson no longer takes (half made, or by another version) is made afresh.
compile() {
  local folder=$1 compiler=$2
  shift 2
  # shellcheck disable=SC2154 # $top is common.sh's
  set -- "$@" "$folder" "$top"
  if ! [ -e "$folder/build.ninja" ] || ! meson setup --reconfigure "$@" >/dev/null 2>&1; then
    rm -rf "$folder/meson-private" "$folder/build.ninja"
    CC=$compiler quietly meson setup "$@" || return
  fi
  quietly ninja -C "$folder"
}
