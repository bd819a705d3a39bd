"""Training and test data: annotation formats, the page renderer, data sets and augmentation.

In: folders of images and annotations, or a seed. Out: samples and batches, a pure function of settings and
number. Others call `dataset`, `sources`, `formats` and `synth`.
"""
