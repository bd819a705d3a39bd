# A hook plugin that fails at every page, and another that is not there.
from dld_core import hookimpl


@hookimpl
def dld_page_spotted(page):
    raise RuntimeError("this hook always fails")
