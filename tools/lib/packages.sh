# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Which packages iolane stands on, and how they get onto a Debian 12 machine. Sourced after
# common.sh; `ensure_packages GROUP...` is all that a command calls.

# Group, package, how another system shows that it has it (a program, or pc: and a pkg-config
# module, or - where one of the others implies it), and what it is for.
package_table() {
  cat <<'END'
build gcc                gcc                compiles iolane
build libc6-dev          -                  headers of the C library
build pkg-config         pkg-config         finds the libraries
build meson              meson              configures the build
build ninja-build        ninja              runs the build
build liburing-dev       pc:liburing        io_uring, which the disk backend stands on
build libjson-c-dev      pc:json-c          JSON in and out
build libdpdk-dev        pc:libdpdk         poll threads and NICs of the network backend
build libpci-dev         pc:libpci          names of PCI devices
build libmnl-dev         pc:libmnl          settings of NICs' virtual functions
build libcyaml-dev       pc:libcyaml        the file that declares virtual functions
build libyaml-dev        pc:yaml-0.1        lines of that file
build libseccomp-dev     pc:libseccomp      confines the reference VMM
build libcmocka-dev      pc:cmocka          runs the C tests
guest qemu-system-x86    qemu-system-x86_64 the virtual machine of the guest tests
guest qemu-utils         qemu-img           disk images, and the disk backend to compare with
guest busybox-static     busybox            userland of the test guest
guest e2fsprogs          mkfs.ext4          the file system that the test guest makes
guest udev               udevadm            udev, which the lab has rules for
guest python3            python3            drives the test guests
kernel flex              flex               generates the kernel's configuration program
kernel bison             bison              likewise
kernel bc                bc                 computes the kernel's constants
kernel libelf-dev        pc:libelf          reads the kernel's objects
kernel make              make               builds the kernel
kernel gcc               gcc                compiles it
kernel xz-utils          xz                 unpacks its source
test  dpdk-dev           dpdk-testpmd       a network backend that the benchmark is tested on
test  iproute2           ip                 network namespaces, which uplinks are tested with
test  libvirt-common     -                  libvirt's schema, which domains are checked against
test  libxml2-utils      xmllint            checks them
test  git                git                tells which files are the project's
test  clang              clang              second compiler, and the fuzzer
test  libclang-rt-14-dev -                  clang's sanitizers and libFuzzer
test  llvm               llvm-symbolizer    names the functions in a sanitizer's report
test  clang-format       clang-format       checks the layout of C
test  clang-tidy         clang-tidy         checks C for mistakes
test  cppcheck           cppcheck           checks C for mistakes
test  shellcheck         shellcheck         checks the shell scripts
END
}

# bookworm's own QEMU is 7.2; the tests need a newer one. libvirt-common is new there, too.
qemu_minimum=8
backports_file=/etc/apt/sources.list.d/iolane-backports

# is_recent_qemu PROGRAM, one of QEMU's.
is_recent_qemu() {
  local version
  version=$("$1" --version 2>/dev/null | sed -nE '1s/.* version ([0-9]+)\..*/\1/p')
  [ "${version:-0}" -ge "$qemu_minimum" ]
}

is_debian_12() {
  (. /etc/os-release && [ "$ID" = debian ] && [ "${VERSION_ID-}" = 12 ]) 2>/dev/null
}

# is_installed PACKAGE, on Debian.
is_installed() {
  case $1 in
  qemu-system-x86) is_recent_qemu qemu-system-x86_64 ;;
  qemu-utils) is_recent_qemu qemu-img ;;
  *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
  esac
}

# is_present PROBE, on any system.
is_present() {
  case $1 in
  -) ;;
  qemu-*) is_recent_qemu "$1" ;;
  pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
  # mkfs is in sbin, which an ordinary user's PATH may leave out.
  *) PATH=$PATH:/usr/sbin:/sbin have "$1" ;;
  esac
}

# missing_packages GROUP...: the rows of what is not here.
missing_packages() {
  local group package probe why
  while read -r group package probe why; do
    [[ " $* " == *" $group "* ]] || continue
    if is_debian_12; then
      is_installed "$package" && continue
    else
      is_present "$probe" && continue
    fi
    printf '%s %s %s %s\n' "$group" "$package" "$probe" "$why"
  done < <(package_table)
}

# The apt source entry "FILE:NUMBER" that serves a suite, if the package lists have it.
source_entry_of() {
  local entry codename component
  # shellcheck disable=SC2016 # apt expands them
  while IFS='|' read -r entry codename component; do
    if [ "$codename" = "$1" ] && [ "$component" = main ]; then
      printf '%s\n' "$entry"
      return 0
    fi
  done < <(apt-get indextargets --format '$(SOURCESENTRY)|$(CODENAME)|$(COMPONENT)' \
    'Created-By: Packages')
  return 1
}

# backports_entry FILE NUMBER: that entry of a sources file again, for bookworm-backports instead.
# Mirror, options and keys are the machine's own. A .list file counts lines, a .sources file stanzas.
backports_entry() {
  if [[ $1 == *.list ]]; then
    sed -nE "$2s/^deb-src|^deb/deb/; $2s/^(deb +(\[[^]]*\] *)?[^ ]+) .*/\1 bookworm-backports main/p" "$1"
  else
    awk -v wanted="$2" '
      /^#/ { next }
      /^[[:space:]]*$/ { inside = 0; next }
      !inside { inside = 1; stanza++; skip = 0 }
      stanza != wanted { next }
      /^[^[:space:]]/ { skip = 0 }
      tolower($0) ~ /^types:/ { print "Types: deb"; skip = 1 }
      tolower($0) ~ /^suites:/ { print "Suites: bookworm-backports"; skip = 1 }
      tolower($0) ~ /^components:/ { print "Components: main"; skip = 1 }
      !skip { print }
    ' "$1"
  fi
}

# Backports never replace what is installed unless asked for by name, so adding them is harmless.
add_backports() {
  local entry source file
  entry=$(source_entry_of bookworm) || die "apt knows no source of Debian 12 (bookworm) main: add" \
    "one to /etc/apt/sources.list, as bookworm-backports with QEMU $qemu_minimum or newer are" \
    "found beside it"
  source=${entry%:*}
  file=$backports_file.${source##*.}
  say "adding Debian's bookworm-backports, which carry a QEMU that is new enough, to $file"
  backports_entry "$source" "${entry##*:}" | as_root tee "$file" >/dev/null
  quietly apt_get update -o Dir::Etc::SourceList="$file" -o Dir::Etc::SourceParts=- \
    -o APT::Get::List-Cleanup=0 ||
    die "the mirror named in $file does not answer for bookworm-backports"
}

# apt_download FOLDER PACKAGE: leave FOLDER/PACKAGE_*.deb; apt checks its signature.
apt_download() {
  say "downloading $2"
  # apt's own download user could not write to the folder.
  (cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$2" </dev/null >&2)
}

# ensure_packages GROUP...: install what is missing of these groups, without a question.
ensure_packages() {
  local missing group package probe why
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0

  local list=() names=() newer=()
  while read -r group package probe why; do
    list+=("$(printf '  %-19s %s' "$package" "$why")")
    case $package in
    qemu-* | libvirt-common) newer+=("$package") ;;
    *) names+=("$package") ;;
    esac
  done <<<"$missing"

  if ! is_debian_12; then
    say "this is not Debian 12, so install what is missing yourself (Debian's names):"
    printf '%s\n' "${list[@]}" >&2
    exit 1
  fi
  if ! can_become_root; then
    say "these packages are missing: run this as root, or install sudo"
    printf '%s\n' "${list[@]}" >&2
    exit 1
  fi

  say "installing Debian packages:"
  printf '%s\n' "${list[@]}" >&2
  # A foreign source that does not answer is no reason to stop; the installation tells.
  quietly apt_get update || say "apt could not update all of its package lists; going on"
  if [ ${#names[@]} -gt 0 ]; then
    quietly apt_get install -y --no-install-recommends "${names[@]}"
  fi
  if [ ${#newer[@]} -gt 0 ]; then
    source_entry_of bookworm-backports >/dev/null || add_backports
    quietly apt_get install -y --no-install-recommends -t bookworm-backports "${newer[@]}"
  fi
  missing=$(missing_packages "$@")
  [ -z "$missing" ] || die "still missing after the installation:" \
    "$(awk '{ print $2 }' <<<"$missing" | paste -sd ' ')"
}
