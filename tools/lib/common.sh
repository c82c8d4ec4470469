# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What every command in tools/ needs: messages on stderr, and becoming root for one command.
# Sourced after `set -euo pipefail`; defines functions only.

program=${0##*/}

say() {
  printf '%s\n' "$program: $*" >&2
}

die() {
  say "$@"
  exit 1
}

# usage_error TEXT: wrong use of the command line, told apart from failure by exit status 2.
usage_error() {
  say "$* (try $program --help)"
  exit 2
}

have() {
  command -v "$1" >/dev/null 2>&1
}

can_become_root() {
  [ "$(id -u)" -eq 0 ] || have sudo
}

# as_root COMMAND...: straight when we are root, else by sudo, which may ask for a password on the
# terminal but never hangs where there is none.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif [ -t 0 ] || [ -t 2 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

# apt_get ARGUMENT...: apt-get as root, asking nothing, its chatter on stderr.
apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null >&2
}
