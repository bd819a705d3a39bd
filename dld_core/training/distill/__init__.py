"""Teaching a student: the training loop with a teacher, paired views and SKD's terms.

In: a `DistillConfig`. Out: a run folder with student, teacher and selector. Others call `engine.distill` and
`adaptation.adapt`.
"""
