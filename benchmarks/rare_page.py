"""The page of rare_classes.py: what its runs say, and whether the pick by development data was a good one."""


def write(path):
    pass
