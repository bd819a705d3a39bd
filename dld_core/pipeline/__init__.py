"""From a file to a Page: load, plan, read, place, report, a file for each step.

In: images, and who reads them at which scale. Out: pages in the original's pixels, with what they cost.
Others call `DLDWrapper`, which puts the steps together.
"""
