#!/usr/bin/env python3
"""Reads PowerShell scripts with a parser, where no PowerShell is to be had.

usage: check.py FILE...

Says where the parser does not understand a script, one line each, and fails then. It
also fails for what Windows PowerShell 5.1 does not have: the operators ?? ?. && || and
the ternary one, for characters outside of ASCII, which 5.1 reads by the code page, and
for a search for WARN as a word: the level is called WARNING in the providers' logs.
Packages: requirements.txt, in PYTHONPATH.
"""
import re
import sys

import tree_sitter
import tree_sitter_powershell

parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
NEW = {"??", "??=", "?.", "&&", "||", "ternary_expression", "pipeline_chain_tail"}


def walk(node):
    yield node
    for child in node.children:
        yield from walk(child)


def problems(text):
    if not text.isascii():
        yield text.count(b"\n", 0, next(i for i, b in enumerate(text) if b > 127)) + 1, "a character outside of ASCII"
    for found in re.finditer(rb"\bWARN\b", text):
        yield text.count(b"\n", 0, found.start()) + 1, "the level is called WARNING"
    for node in walk(parser.parse(text).root_node):
        line = node.start_point[0] + 1
        if node.type == "ERROR":
            yield line, "not understood: " + node.text.decode(errors="replace").splitlines()[0][:60]
        elif node.is_missing:
            yield line, "missing: " + node.type
        elif node.type in NEW:
            yield line, "Windows PowerShell 5.1 has no " + node.type


def main(names):
    found = 0
    for name in names:
        with open(name, "rb") as f:
            text = f.read().replace(b"\r\n", b"\n")
        for line, what in problems(text):
            print("%s:%d: %s" % (name, line, what))
            found += 1
    return bool(found) or not names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
