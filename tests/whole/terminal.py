# Plays a person at a terminal: the arguments are what to run; prints what was seen, and the exit code last.
import fcntl, os, pty, select, signal, struct, sys, termios, time

def size(rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

child, terminal = pty.fork()
if child == 0:
    # Not before the terminal has its first size.
    time.sleep(0.2)
    os.execvp(sys.argv[1], sys.argv[1:])
size(33, 77)
seen = b""

def until(text):
    global seen
    start, deadline = len(seen), time.time() + 30
    while text is None or text not in seen[start:]:
        if time.time() > deadline:
            sys.exit("never seen: %r in %r" % (text, seen))
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                got = os.read(terminal, 65536)
            except OSError:
                got = b""
            if not got:
                return
            seen += got

def say(line):
    os.write(terminal, line + b"\n")

# Quotes inside words: the terminal's echo of what is typed must not be taken for the answer.
until(b"# ")
say(b"stty size")
until(b"33 77")
say(b"test -t 0 && echo a ter''minal")
until(b"a terminal")
size(44, 99)
os.kill(child, signal.SIGWINCH)
say(b'until [ "$(stty size)" = "44 99" ]; do sleep 0.1; done; echo re\'\'sized')
until(b"resized")
say(b"echo sle''eps; sleep 1000")
until(b"sleeps")
os.write(terminal, b"\x03")
until(b"# ")
say(b"exit 9")
until(None)
print(seen.decode(errors="replace"))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
