"""What networks run on: devices, and networks folded for reading.

In: modules and device strings. Out: the same networks, ready and fast.
Others call `devices`, `folding`, `digest`.
"""
