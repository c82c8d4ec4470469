# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Bash completion of iolane and its programs. Options are read from --help, which names all of them.

# _iolane_options PROGRAM [ARGUMENT]...: the options that its help explains.
_iolane_options() {
  "$@" --help 2>/dev/null | sed -n 's/^  *\(-[-a-zA-Z, =[]*\).*/\1/p' |
    grep -o -e '--[a-z][a-z-]*=\{0,1\}' | sort -u
}

# _iolane_value OPTION WORD: complete the value of an option.
_iolane_value() {
  case $1 in
  --cache) mapfile -t COMPREPLY < <(compgen -W 'writeback writethrough none' -- "$2") ;;
  --context) mapfile -t COMPREPLY < <(compgen -W 'iommufd type1' -- "$2") ;;
  --engine) mapfile -t COMPREPLY < <(compgen -W 'auto io_uring pool' -- "$2") ;;
  --mode) mapfile -t COMPREPLY < <(compgen -W 'switch bridge-to-uplink patch' -- "$2") ;;
  --antispoof) mapfile -t COMPREPLY < <(compgen -W 'off mac ip' -- "$2") ;;
  --offloads) mapfile -t COMPREPLY < <(compgen -W 'on off' -- "$2") ;;
  --block-size) mapfile -t COMPREPLY < <(compgen -W '512 4096' -- "$2") ;;
  --for) mapfile -t COMPREPLY < <(compgen -W 'qemu libvirt cloud-hypervisor' -- "$2") ;;
  --class) mapfile -t COMPREPLY < <(compgen -W 'net storage display accel crypto usb audio serial bridge other' -- "$2") ;;
  --root)
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -d -- "$2")
    ;;
  --socket-path | --blk-file | --control | --socket | --tx | --rx | --kernel | --initrd | --qmp | --blk | --net | --qemu)
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$2")
    ;;
  esac
}

# _iolane_things GROUP ARGUMENT...: names of the disks or ports of the server that the command line speaks to.
_iolane_things() {
  local group=$1 control=() word previous=''
  shift
  for word in "$@"; do
    case $word in
    --control=*) control=("$word") ;;
    esac
    [ "$previous" = --control ] && control=("--control=$word")
    previous=$word
  done
  iolane "$group" list --timeout=1s "${control[@]}" 2>/dev/null | awk 'NR > 1 && !NF { exit } NR > 1 { print $1 }'
}

# _iolane_devices ARGUMENT...: names of the PCI devices of the host that the command line speaks of.
_iolane_devices() {
  local root=() word
  for word in "$@"; do
    case $word in
    --root=*) root=("$word") ;;
    esac
  done
  iolane list "${root[@]}" 2>/dev/null | awk 'NR > 1 && $1 ~ /:/ { print $1; if ($2 != "-") print $2 }'
}

# _iolane_vfs pf|vf ARGUMENT...: names of functions that can have VFs, or of the VFs that there are.
_iolane_vfs() {
  local what=$1 root=() word
  shift
  for word in "$@"; do
    case $word in
    --root=*) root=("$word") ;;
    esac
  done
  iolane list --vfs "${root[@]}" 2>/dev/null | awk -F '  +' -v "what=$what" '
    NR > 1 && split($7, count, " of ") == 2 {
      for (place = 1; place <= 2; place++) {
        if ($place == "-") continue
        if (what == "pf") print $place
        for (vf = 0; what == "vf" && vf < count[1]; vf++) print $place "/vf" vf
      }
    }'
}

# _iolane_labels: labels of the VFs of this host.
_iolane_labels() {
  iolane vf list 2>/dev/null | awk '$1 == "VF" { has = $2 == "LABEL"; next } has && $1 ~ /\/vf/ && $2 != "-" { print $2 }' | sort -u
}

# _iolane_setting NAME WORD: complete the value of a VF's setting.
_iolane_setting() {
  case $1 in
  spoofchk | trust | rss_query) mapfile -t COMPREPLY < <(compgen -W 'on off' -- "$2") ;;
  link) mapfile -t COMPREPLY < <(compgen -W 'auto enable disable' -- "$2") ;;
  vlan_proto) mapfile -t COMPREPLY < <(compgen -W '802.1Q 802.1ad' -- "$2") ;;
  driver) mapfile -t COMPREPLY < <(compgen -W 'vfio-pci none' -- "$2") ;;
  esac
}

# _iolane_vf_words WORD ARGUMENT...: what else than an option may come next at a verb of VFs.
_iolane_vf_words() {
  local word=$1 verb="$3 $4" plain=()
  shift
  mapfile -t plain < <(printf '%s\n' "$@" | grep -v -e '^-')
  if [[ $verb = 'vf set' && ${#plain[@]} -gt 4 ]]; then
    echo mac= vlan= qos= vlan_proto= spoofchk= trust= link= rate= rss_query= queues= interrupts= driver= label=
    return
  fi
  # An address has colons, at which bash splits words.
  [[ $word = *:* ]] && return
  case $verb in
  vf\ set | release\ *) _iolane_vfs vf "$@" ;;
  vf\ *) _iolane_vfs pf "$@" ;;
  lease\ *)
    _iolane_vfs pf "$@"
    _iolane_labels
    ;;
  esac
}

# _iolane_verbs COMMAND: what follows "iolane COMMAND" to steer a program that runs.
_iolane_verbs() {
  case $1 in
  blk) echo add del list resize stats ;;
  net) echo add-port del-port list stats addresses ;;
  vf) echo list create set stats destroy ;;
  vm) echo args doctor attach detach ;;
  esac
}

_iolane() {
  local line=${COMP_LINE:0:COMP_POINT} words word previous='' program
  # Bash splits words at "=" too; ours are split at blanks.
  read -r -a words <<<"$line"
  case $line in
  *[[:blank:]]) words+=('') ;;
  esac
  word=${words[-1]}
  [ ${#words[@]} -gt 1 ] && previous=${words[-2]}
  program=${words[0]##*/}
  COMPREPLY=()

  case $word in
  --*=*)
    _iolane_value "${word%%=*}" "${word#*=}"
    return
    ;;
  *=*)
    [[ "${words[1]-} ${words[2]-}" = 'vf set' ]] && _iolane_setting "${word%%=*}" "${word#*=}"
    return
    ;;
  esac
  case $previous in
  --socket-path | --blk-file | --control | --cache | --engine | --mode | --antispoof | --offloads | --block-size | --tx | --rx | --kernel | --initrd | --class | --root | --context | --for | --qmp | --blk | --net | --qemu)
    _iolane_value "$previous" "$word"
    return
    ;;
  esac

  local choices=''
  if [ "$program" = iolane-bench ] && [ ${#words[@]} -eq 2 ]; then
    choices='blk net vfio vmm --help --version'
  elif [ "$program" = iolane-bench ]; then
    choices=$(_iolane_options "$program" "${words[1]}")
    [[ ${words[1]} = vfio && $word != -* && $word != *:* ]] && choices+=" $(_iolane_devices)"
  elif [ "$program" != iolane ]; then
    choices=$(_iolane_options "$program")
  elif [ ${#words[@]} -eq 2 ]; then
    choices='list show check bind unbind vf plan apply drift export lease release vm undo blk net vmm bench help --help --version'
  elif [ "${words[1]}" = help ]; then
    [ ${#words[@]} -eq 3 ] && choices='list show check bind unbind vf plan apply drift export lease release vm undo blk net vmm bench'
    [ ${#words[@]} -eq 4 ] && choices=$(_iolane_verbs "${words[2]}")
  elif [[ ${words[1]} =~ ^(list|show|check|bind|unbind|plan|apply|drift|export|lease|release|undo)$ ]]; then
    choices=$(_iolane_options iolane "${words[1]}")
    # An address has colons, at which bash splits words.
    [[ ${words[1]} =~ ^(show|bind|unbind)$ && $word != -* && $word != *:* ]] && choices+=" $(_iolane_devices "${words[@]}")"
    [[ ${words[1]} =~ ^(lease|release)$ && $word != -* ]] && choices+=" $(_iolane_vf_words "$word" "${words[@]}")"
    if [[ ${words[1]} =~ ^(plan|apply|drift)$ && $word != -* ]]; then
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
    fi
  elif [[ ${words[1]} =~ ^v[fm]$ && ${#words[@]} -eq 3 ]]; then
    choices="$(_iolane_verbs "${words[1]}") --help"
  elif [ "${words[1]}" = vm ]; then
    choices=$(_iolane_options iolane vm "${words[2]}")
  elif [ "${words[1]}" = vf ]; then
    choices=$(_iolane_options iolane vf "${words[2]}")
    [[ $word != -* ]] && choices+=" $(_iolane_vf_words "$word" "${words[@]}")"
  elif [ "${words[1]}" = bench ] && [ ${#words[@]} -eq 3 ]; then
    choices='blk net vfio vmm --help --version'
  elif [ "${words[1]}" = bench ]; then
    choices=$(_iolane_options iolane-bench "${words[2]}")
  elif [ -n "$(_iolane_verbs "${words[1]}")" ] && [ ${#words[@]} -eq 3 ]; then
    choices="$(_iolane_verbs "${words[1]}") $(_iolane_options "iolane-${words[1]}")"
  elif [ -n "$(_iolane_verbs "${words[1]}")" ]; then
    case ${words[2]} in
    -*) choices=$(_iolane_options "iolane-${words[1]}") ;;
    del | resize | stats | del-port)
      choices="$(_iolane_options iolane "${words[1]}" "${words[2]}")"
      [ ${#words[@]} -eq 4 ] && choices+=" $(_iolane_things "${words[1]}" "${words[@]}")"
      ;;
    *) choices=$(_iolane_options iolane "${words[1]}" "${words[2]}") ;;
    esac
  else
    choices=$(_iolane_options "iolane-${words[1]}")
  fi
  mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
  if [ ${#COMPREPLY[@]} -eq 1 ] && [ "${COMPREPLY[0]%=}" != "${COMPREPLY[0]}" ]; then
    compopt -o nospace
  fi
}

complete -F _iolane iolane iolane-blk iolane-net iolane-vmm iolane-bench
