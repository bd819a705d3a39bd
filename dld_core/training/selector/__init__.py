"""Teaching a selector: measure a spotter at every scale, fit, calibrate, judge.

In: a spotter and images. Out: a selector file. Others call `training`, `measure` and `oracle`.
"""
