"""Teaching a selector of any kind: measure a spotter at every scale, fit, calibrate, judge.

In: a spotter and images. Out: a selector file. Others call `making.make_selector` and `making.run_selector`.
"""
