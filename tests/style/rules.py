#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""House rules that no compiler checks: read the files named as arguments (paths from the top of
the project), print each breach as FILE:LINE: TEXT, exit 1 if there was one."""

import re
import sys

LICENCE = "SPDX-License-Identifier: BSD-3-Clause"
LONGEST = 800

# A room of the house and the rooms whose headers it may include besides its own.
SEES = {
    "base": (),
    "vfio": ("base",),
    "sriov": ("vfio", "base"),
    "vhost-user": ("base",),
    "vhost-user/blk": ("vhost-user", "base"),
    "vhost-user/net": ("vhost-user", "base"),
    "vmm-glue": ("vfio", "vhost-user", "base"),
}
# Programs and tests stand on every library; they are no library themselves.
PROGRAMS = ("tools", "tests")

# Libraries of others that only some rooms may know.
FOREIGN = {
    re.compile(r"liburing\b"): ("vhost-user/blk", "tools", "tests"),
    re.compile(r"rte_"): ("vhost-user/net", "tools", "tests"),
    re.compile(r"pci/"): ("tools", "tests"),
}

COMMENT_OR_STRING = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
ENDS_OR_PRINTS = re.compile(
    r"(?<![\w.>])(_?exit|_Exit|quick_exit|abort|assert|errx?|v?printf|puts|putchar|perror)\s*\("
    r"|\bfprintf\s*\(\s*stdout\b|\b(__builtin_(?:trap|abort))\s*\(")
LEFT_TO_DO = re.compile(r"\b(TODO|FIXME|XXX)\b")


def room_of(path):
    """The room that a file belongs to; a public header belongs to the library it describes."""
    if path.startswith("include/iolane/"):
        return room_of_public(path[len("include/"):])
    rooms = [room for room in (*SEES, *PROGRAMS) if path.startswith(room + "/")]
    return max(rooms, key=len, default=None)


def room_of_public(header):
    """A library has several headers where one would be too long: their first words are its name's."""
    def first_word(name):
        return re.split("[_-]", name.split("/")[-1])[0]
    name = header.removeprefix("iolane/").removesuffix(".h")
    return next((room for room in SEES if first_word(room) == first_word(name)), None)


def without_comments_and_strings(text):
    """Blanks in their place, so that lines keep their numbers."""
    return COMMENT_OR_STRING.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_include(room, header):
    for pattern, rooms in FOREIGN.items():
        if pattern.match(header) and room not in rooms:
            return f"{room} must not know <{header}>; only {', '.join(rooms)} may"
    if room in PROGRAMS:
        return None
    other = room_of_public(header) if header.startswith("iolane/") else room_of(header)
    if other in (None, room) or other in SEES[room]:
        return None
    return f"{room} must not include {header}: {other} lies above or beside it"


def check_c(path, text):
    room = room_of(path)
    lines = text.splitlines()
    if len(lines) > LONGEST:
        yield LONGEST, f"{len(lines)} lines: past {LONGEST} it is two files"
    if room is None:
        yield 1, "lies in no room of the house (see SEES in tests/style/rules.py)"
        return
    for number, line in enumerate(lines, 1):
        include = INCLUDE.match(line)
        breach = include and check_include(room, include.group(1))
        if breach:
            yield number, breach
    if room in PROGRAMS:
        return
    for number, line in enumerate(without_comments_and_strings(text).splitlines(), 1):
        call = ENDS_OR_PRINTS.search(line)
        if call:
            yield number, f"a library neither ends the process nor prints: {call.group().strip()}"


def check(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if LICENCE not in "".join(text.splitlines(keepends=True)[:3]):
        yield 1, f"no '{LICENCE}' in its first lines"
    for number, line in enumerate(text.splitlines(), 1):
        if LEFT_TO_DO.search(line) and path != "tests/style/rules.py":
            yield number, "nothing is left to do in this tree: do it or open an issue"
    if path.endswith((".c", ".h")):
        yield from check_c(path, text)


def main():
    breaches = 0
    for path in sys.argv[1:]:
        for number, breach in check(path):
            print(f"{path}:{number}: {breach}")
            breaches += 1
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
