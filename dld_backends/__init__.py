"""Spotters that ship with the library; each registers under the entry-point group `dld.backends`."""
