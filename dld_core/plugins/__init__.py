"""How parts are found: entry points for what is chosen by name, pluggy hooks for events.

In: names and installed packages. Out: classes, imported on first use, or an error that holds the fix.
Others call `registry` (backends, selectors, distillers), `hooks` and `hookspecs`.
"""
