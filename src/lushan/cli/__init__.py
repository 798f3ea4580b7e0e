"""The command line, a file a group of commands.

What takes time to import is imported by the command that needs it.
"""
