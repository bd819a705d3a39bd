"""What was read, in the forms that people use: pictures with words drawn on them.

In: a Page. Out: pictures. Others call `drawing`.
"""
