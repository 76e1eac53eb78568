#!/usr/bin/python3
"""Copies an O-Node's SQLite database and changes one byte in the copy, as somebody with the administrator's rights could.

tamper.py DATABASE COPY OLD NEW: in the newest entry that contains the text OLD, which becomes NEW; they differ in one byte."""
import sqlite3
import sys

database, copy, old, new = sys.argv[1], sys.argv[2], sys.argv[3].encode(), sys.argv[4].encode()
assert len(old) == len(new) and sum(a != b for a, b in zip(old, new)) == 1

source, target = sqlite3.connect(database), sqlite3.connect(copy)
source.backup(target)
for (trigger,) in target.execute("select name from sqlite_master where type = 'trigger'").fetchall():
    target.execute(f'drop trigger "{trigger}"')  # they only stop accidents: whoever owns the file can drop them
sequence, entry = target.execute("select seq, bytes from entry where instr(bytes, ?) > 0 order by seq desc limit 1", (old,)).fetchone()
target.execute("update entry set bytes = ? where seq = ?", (entry.replace(old, new, 1), sequence))
target.commit()
print(sequence)
