"""The command on a terminal of 60 columns, and in a pipe.

terminal.py UWM-ONNX MODEL MANIFEST BROKEN-MANIFEST
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

PROGRAM, MODEL, MANIFEST, BROKEN = sys.argv[1:]
COLUMNS = 60
EVALUATE = ["evaluate", MODEL, "--baseline", MODEL, "--data", MANIFEST, "--backend", "tract", "--resamples", "100"]
CHECK = ["data", "check", BROKEN]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What a progress bar moves the cursor with.
MOVES = re.compile(r"\x1b\[[0-9]*[A-HJK]")


def surroundings(**others):
    free = {name: value for name, value in os.environ.items() if not name.startswith(("CLICOLOR", "NO_COLOR", "TERM"))}
    return free | others


def on_a_terminal(arguments, **others):
    """What reaches a terminal, both streams together."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, COLUMNS, 0, 0))
    environment = surroundings(**({"TERM": "xterm"} | others))
    child = subprocess.Popen([PROGRAM, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    child.wait()
    return b"".join(parts).decode().replace("\r\n", "\n")


def piped(arguments, **others):
    result = subprocess.run([PROGRAM, *arguments], capture_output=True, env=surroundings(TERM="xterm", **others))
    return result.stdout.decode(), result.stderr.decode()


def result(text):
    """The part after the progress bars."""
    lines = MOVES.sub("", text).split("\n")
    start = max(index for index, line in enumerate(lines) if "compared with" in line)
    return lines[start:]


# Progress: how many, of how many, how fast, how long; only on a terminal that can move its cursor.
shown = on_a_terminal(EVALUATE)
assert re.search(r"\d+/\d+ [\d.,]+/s", shown), shown
assert MOVES.search(shown), shown
for text in [*piped(EVALUATE), on_a_terminal(EVALUATE, TERM="dumb")]:
    assert "/s" not in text and "\x1b" not in text, text

# The table is as wide as the terminal, and has 80 columns in a pipe.
table = [line for line in result(shown) if MODEL not in line]
assert all(len(line) <= COLUMNS for line in table), table
assert any("change" in line for line in table) and not any(line.rstrip().endswith(" p") for line in table), table
assert any(len(line) == 79 for line in piped(EVALUATE)[0].split("\n"))

# Colours say nothing that words do not; names never bring their own.
shown = on_a_terminal(CHECK)
assert "\x1b[31m\x1b[1merror[" in shown, shown
assert COLOUR.sub("", MOVES.sub("", shown)).count("error[") == shown.count("error[")
assert "\x1b[35m" not in shown and r"\u{1b}[35m" in shown, shown
for text in [on_a_terminal(CHECK, NO_COLOR="1"), on_a_terminal(CHECK, TERM="dumb"), piped(CHECK)[0]]:
    assert "error[" in text and not COLOUR.search(text), text
assert COLOUR.search(piped(CHECK, CLICOLOR_FORCE="1")[0])
assert not COLOUR.search(piped(CHECK, CLICOLOR_FORCE="1", NO_COLOR="1")[0])

# Errors of the command have them on stderr.
missing = ["inspect", "there/is/no.onnx"]
assert re.search(r"\x1b\[31m\x1b\[1merror\[[a-z-]+\]\x1b\[0m: ", on_a_terminal(missing))
assert not COLOUR.search(on_a_terminal(missing, NO_COLOR="1"))
assert piped(missing)[1].startswith("error[")
