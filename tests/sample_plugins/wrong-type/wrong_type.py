# A part that is a function where a class is wanted.
def make_spotter():
    return None
