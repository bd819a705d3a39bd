"""What was read, in the forms that people use: a `Page`, its words in reading order, pictures of them.

In: words. Out: JSON and pictures. Others call `page.Page`, `reading_order` and `drawing`.
"""
