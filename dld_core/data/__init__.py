"""Data to train and evaluate on: annotated photos, rendered pages, random views of both.

In: annotation files of any format (`formats`), options of the renderer (`synth`). Out: `Sample`s and batches.
Others call `sources.parse_source`, `dataset.batches`, `augment.augment`, and `formats.read`.
"""
