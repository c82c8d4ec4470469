#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Install into a scratch folder, and build and run a program with what lies there.
# embed.sh BUILD SOURCE COMPILER [FLAG...]
set -euo pipefail

build=$1
source=$2
shift 2

for program in meson pkg-config; do
  if ! command -v "$program" >/dev/null; then
    echo "$program is not here, so nothing is linked against the installed libraries"
    exit 77
  fi
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
DESTDIR=$scratch meson install -C "$build" --no-rebuild --quiet >/dev/null

pkgconfig=$(dirname "$(find "$scratch" -name iolane-blk.pc)")
export PKG_CONFIG_PATH=$pkgconfig PKG_CONFIG_SYSROOT_DIR=
prefix=$(pkg-config --variable=prefix iolane-blk)
read -ra flags < <(pkg-config --define-variable=prefix="$scratch$prefix" \
  --cflags --libs --static iolane-vmm-glue iolane-blk)
"$@" -Wall -Wextra -Werror -o "$scratch/embed" "$source" "${flags[@]}"
"$scratch/embed"
