"""The cell space of DARTS and SNAS: a normal and a reduction cell, repeated with the depth."""
