"""terminal.py COMMAND...: runs a command on a terminal of its own. Each line of standard input is a Python
literal that is typed once the text before it has appeared: ("wait for this", "type this"); with a third item,
"again", it is typed until what is waited for next appears: who reads it may not be there yet. The last one is
typed until the command ends. "@FILE:this" waits for what is in a file. Prints all that the command wrote, and ends
with its exit code."""
import ast
import os
import pty
import select
import sys
import time

PATIENCE_S = 30 * float(os.environ.get("SPEC_SLOWER", "1"))

steps = [ast.literal_eval(line) for line in sys.stdin if line.strip()]
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])

seen, told = b"", 0


def read_until(text, again=None):
    """Reads on until `text` comes after what was waited for before, typing `again` until then; False at the end."""
    global seen, told
    end = time.monotonic() + PATIENCE_S
    while True:
        at = seen.find(text.encode(), told)
        if text and at >= 0:
            told = at + len(text.encode())
            return True
        if time.monotonic() > end:
            print("never came: %r in %r" % (text, seen[told:].decode(errors="replace")))
            os.kill(child, 9)
            sys.exit(99)
        if not select.select([terminal], [], [], 0.2)[0]:
            if again:
                try:
                    os.write(terminal, again)
                except OSError:
                    return False
            continue
        try:
            more = os.read(terminal, 65536)
        except OSError:
            more = b""
        if not more:
            return False
        seen += more


def wait_for_file(path, text):
    end = time.monotonic() + PATIENCE_S
    while text not in open(path).read():
        if time.monotonic() > end:
            sys.exit("%r never came in %s" % (text, path))
        time.sleep(0.02)


repeated = None
for wanted, typed, *again in steps:
    if wanted.startswith("@"):
        wait_for_file(*wanted[1:].split(":", 1))
    elif not read_until(wanted, repeated):
        break
    os.write(terminal, typed.encode())
    repeated = typed.encode() if again else None
read_until("", typed.encode())
_, status = os.waitpid(child, 0)
sys.stdout.write(seen.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(status))
