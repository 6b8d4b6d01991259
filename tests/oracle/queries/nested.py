#!/usr/bin/env python3
"""Writes random nested expressions over the table of the grid, as kind `nested` for `../grid/Grid.java`.

    ./nested.py FOLDER SEED [EXPRESSIONS]

FOLDER gets `expressions.tsv`; `../grid/generate.py` writes the table there first.
"""
import random, sys
from expressions import KINDS, Expressions

FOLDER, SEED = sys.argv[1], int(sys.argv[2])
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 1500
R = random.Random(SEED)
X = Expressions(R)
SCOPE = {"int": ["i1", "i2", "i4", "i8"], "dec": ["d5", "d20", "d38"], "dbl": ["f4", "f8"], "str": ["s", "t", "v", "c"], "bool": ["b"], "date": ["dt"], "ts": ["ts", "ts"], "tz": ["tz"], "time": ["tm"]}
seen = set()
while len(seen) < COUNT:
    e = X.of(R.choice(KINDS), R.choice([1, 1, 2, 2, 3]), SCOPE)
    if len(e) < 400 and any(c in e for cs in SCOPE.values() for c in cs):
        seen.add(e)
with open(f"{FOLDER}/expressions.tsv", "w") as out:
    for e in sorted(seen):
        out.write(f"nested\t{e}\n")
