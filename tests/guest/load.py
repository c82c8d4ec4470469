# SPDX-License-Identifier: BSD-3-Clause
"""Work that goes on in a guest while the host does its worst."""

from basis import Failure, check, wait_for


class Load:
    """A program in the guest; its last word in its file of status is "passed" or what went wrong.

    Who derives from this says in further() what progress is."""

    def __init__(self, guest, what, command):
        self.guest = guest
        self.what = what
        self.status = guest.sh("mktemp /run/load-XXXXXX")
        self.pid = guest.sh(f"{command} --status={self.status} > /dev/null 2>&1 < /dev/null & echo $!")

    def said(self):
        """What it said last, while it runs."""
        text = self.guest.sh(f"cat {self.status}")
        check(not text or text.startswith("running"), f"{self.what} ended early: {text}")
        return text

    def further(self):
        """Gives a function that tells whether it has got further since."""
        raise NotImplementedError

    def stop(self):
        """Ends it; gives what it said."""
        return stop([self])[0]


def progress(loads, seconds=120, **by):
    """Waits until every load has got further; a lost request or frame would stop a thread of it."""
    for load, is_further in [(load, load.further(**by)) for load in loads]:
        try:
            wait_for("progress", is_further, seconds)
        except Failure as err:
            raise Failure(f"{load.what}: {err}; {load.said()}") from err


def stop(loads, seconds=240):
    """Ends loads, and gives what they said: all came back, and all data was what had been written last.

    All at once: each looks through its data once more, and one that still ran would hold it up."""
    for load in loads:
        load.guest.sh(f"kill -TERM {load.pid}")

    def ended(load):
        text = load.guest.sh(f"cat {load.status}")
        return None if text.startswith("running") else text

    said = [wait_for(f"{load.what} to end", lambda load=load: ended(load), seconds) for load in loads]
    for load, text in zip(loads, said):
        check(text.startswith("passed"), f"{load.what}: {text}")
    return said
