"""Public data sets: what there is (`public/NAME.yaml`), downloaded, checked and prepared.

`set://NAME` in a config is the folder of a set: below `LUSHAN_DATA` where it is there, else in the
user's cache.
"""
