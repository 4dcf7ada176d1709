"""The containers that are read, one file each.

A reader is a function `read(reading) -> (container, tree)`: what it is, for people, and what stands
in it. It raises `InputError`, without the path, where it refuses.
"""
