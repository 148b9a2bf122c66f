"""Adapters as plain torch modules, in stacks of K, for models of transformers 4.57 to 5.x.

Formulas and file formats follow the library `adapters` 1.3 (Poth et al. 2023), which can read the files written here.
"""
