"""Runs a program on a terminal of its own and types an answer when it asks.

usage: typed.py QUESTION ANSWER PROGRAM ARGUMENTS...
"""
import os
import pty
import sys

question, answer = sys.argv[1].encode(), sys.argv[2].encode() + b"\n"
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[3], sys.argv[3:])
seen, left = b"", 10  # a program that asks again and again gets no more answers
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:  # the terminal is closed
        piece = b""
    if not piece:
        break
    seen += piece
    sys.stdout.buffer.write(piece)
    sys.stdout.flush()
    if question in seen and left:
        seen, left = b"", left - 1
        os.write(terminal, answer)
status = os.waitpid(pid, 0)[1]
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 99)
