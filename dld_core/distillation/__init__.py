"""SKD's losses: features, context states, sequences, dense maps and boxes.

In: a teacher's and a student's traces and maps. Out: named losses, zero where the two agree (all but the
sequence term). Others call `skd.SequentialDistiller`, `detection` and `token_mapping`.
"""
