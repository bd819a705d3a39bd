"""What networks run on: devices, networks folded for reading, norms by scale, converted graphs, weight files.

In: modules, files and device strings. Out: the same networks, ready and fast. Others call `devices`,
`folding`, `norms`, `graph` and `weight_files`.
"""
