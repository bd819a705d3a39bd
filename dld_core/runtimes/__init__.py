"""What networks run on: devices, networks folded for reading, norms by scale, converted graphs, weight files.

In: modules, files and device strings. Out: the same networks, ready and fast. Others call `devices`,
`folding`, `norms`, `graph` and `weight_files`.
"""

import os

# Each new size of image adds compiled kernels to oneDNN's cache, 1,024 unless it is told: hundreds of MiB.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
