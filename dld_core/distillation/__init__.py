"""SKD's losses: features, context states, sequences, dense maps and boxes; and norms with one set per scale.

In: a teacher's and a student's traces and maps. Out: named losses, zero where the two agree.
Others call `skd.SequentialDistiller`, `maps`, `boxes`, `norms`.
"""
