"""What people make of answers, and what follows from it.

`recording` keeps what was shown and what was clicked, picked or given a thumb; `counting` sums it up; `experiments`
compare two ways to answer; `features` and `weights` learn a ranking; `negatives` suggests what to leave out.
"""
