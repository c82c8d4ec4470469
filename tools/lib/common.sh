# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What every command in tools/ needs: messages on stderr, noise kept in a log, and becoming root
# for one command. Sourced after `set -euo pipefail`.

program=${0##*/}
# shellcheck disable=SC2034 # the commands use it
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

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

# quietly COMMAND...: its output goes to the file $log and is shown, shortened, when it fails.
# Where $log is empty the output goes to stderr.
quietly() {
  if [ -z "${log-}" ]; then
    "$@" >&2
    return
  fi
  local status=0 before
  printf '+ %s\n' "$*" >>"$log"
  before=$(wc -c <"$log")
  "$@" >>"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    tail -c "+$((before + 1))" "$log" | tail -n 20 | sed 's/^/  | /' >&2
    say "failed ($status): $*; the whole output is in $log"
  fi
  return "$status"
}

can_become_root() {
  [ "$(id -u)" -eq 0 ] || have sudo
}

# as_root COMMAND...: straight when we are root, else by sudo, which may ask for a password on the
# terminal but never hangs where there is none.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

# apt_get ARGUMENT...: apt-get as root, asking nothing.
apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o DPkg::Lock::Timeout=120 -o DPkg::Options::=--force-confold "$@"
}
