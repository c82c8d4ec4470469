#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What tools/lab does with a machine: give a person a prompt in it, or run one command."""

import contextlib
import glob
import os
import shlex
import shutil
import sys
import termios

from machine import IOMMUS, Machine, harness, parser

# Statuses that are no command's.
LAB_FAILED = 125
MISSING = 77


def arguments():
    made = parser(__doc__)
    made.prog = "tools/lab"
    made.usage = "tools/lab shell|run [OPTION]...; tools/lab --help tells more"
    made.add_argument("what", choices=("shell", "run"))
    made.add_argument("--iommu", choices=IOMMUS, default="intel")
    made.add_argument("--no-remap", action="store_true")
    made.add_argument("--memory", default="1G")
    made.add_argument("--program", action="append", default=[])
    made.add_argument("--share")
    made.add_argument("--append", default="")
    made.add_argument("--timeout", type=int, default=600)
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    args = made.parse_args(words[:end])
    args.command = words[end + 1 :]
    if (args.what == "run") != bool(args.command):
        made.error("run wants a command after --" if args.what == "run" else "shell takes no command")
    if not os.path.isdir(args.build):
        made.error(f"--build={args.build} is no folder: meson setup build && ninja -C build")
    if args.share and not os.path.isdir(args.share):
        made.error(f"--share={args.share} is no folder")
    if args.what == "shell" and not sys.stdin.isatty():
        made.error("shell wants a terminal: use run, which takes a command")
    return args


def programs(args):
    """The project's programs that are built, and those that are asked for."""
    built = glob.glob(os.path.join(args.build, "tools/*/iolane*"))
    names = {os.path.basename(p) for p in built if os.path.isfile(p) and os.access(p, os.X_OK)}
    return [*sorted(names), *(name for name in args.program if name not in names)]


def quote(word):
    """For the machine's shell, on one line whatever is in it."""
    if "\n" not in word:
        return shlex.quote(word)
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n")):
        word = word.replace(plain, escaped)
    return f"$'{word}'"


def run(machine, args):
    status, output = machine.run_bytes(" ".join(map(quote, args.command)), args.timeout)
    sys.__stdout__.buffer.write(output)
    sys.__stdout__.flush()
    return status


def shell(machine):
    """Busybox's shell on the console, which is our terminal; the machine ends with it."""
    columns, rows = shutil.get_terminal_size()
    profile = "alias poweroff='poweroff -f' reboot='poweroff -f'; PS1='lab:\\w# '; cd /root"
    terminal = f"export TERM={quote(os.environ.get('TERM', 'vt100'))}"
    machine.sh(f"mkdir -p /root; echo {quote(profile)} > /etc/profile")
    machine.sh(f"stty -F /dev/ttyS0 rows {rows} cols {columns} sane")
    session = f"{terminal}; setsid cttyhack sh -l; poweroff -f"
    machine.sh(f"({session}) < /dev/ttyS0 > /dev/ttyS0 2>&1 &")
    return machine.process.child.wait()


def main():
    args = arguments()
    status = LAB_FAILED
    interactive = args.what == "shell"
    if interactive:
        before = termios.tcgetattr(sys.stdin)
        print("Booting. Ctrl-D or poweroff ends the machine, Ctrl-A X at once.", file=sys.stderr)

    def work():
        nonlocal status
        options = {"iommu": args.iommu, "remap": not args.no_remap, "memory": args.memory}
        options.update(share=args.share, append=args.append, programs=programs(args))
        with Machine(args, terminal=interactive, **options) as machine:
            status = shell(machine) if interactive else run(machine, args)

    try:
        # Standard output is the command's.
        with contextlib.redirect_stdout(sys.stderr):
            outcome = harness.run_guarded(work)
    finally:
        if interactive:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
    return {0: status, MISSING: MISSING}.get(outcome, LAB_FAILED)


sys.exit(main())
