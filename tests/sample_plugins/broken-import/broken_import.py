# A part whose module cannot be imported, as after an incompatible upgrade of something else.
from dld_core import Spotter, a_name_of_another_version  # noqa: F401
