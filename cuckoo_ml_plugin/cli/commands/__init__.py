"""The commands, one module for each group of related ones.

In: parsed arguments and a home. Out: printed answers; a command that fails raises a CuckooMLError. A command reads its
options, calls the room that does the work and prints the result; it computes nothing itself.

This room may import every room, and of ``cli`` the modules with options, console and views, but not ``program``.
"""
