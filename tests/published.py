"""Genotypes as their authors published them, in the text form of each; only lines are re-wrapped.

Sources, on GitHub: quark0/darts (NASNet, AmoebaNet, DARTS), SNAS-Series/SNAS-Series (SNAS),
yuhuixu1993/PC-DARTS, chenxin061/pdarts and D-X-Y/AutoDL-Projects (PNASNet, SETN, GDAS), each in its
``genotypes.py``.
"""

from __future__ import annotations

NASNET = """
NASNet = Genotype( normal = [ ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0),
    ('sep_conv_3x3', 0), ('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0),
    ('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 1), ], normal_concat = [2, 3, 4, 5,
    6], reduce = [ ('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('max_pool_3x3', 1), ('sep_conv_7x7',
    0), ('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 3), ('avg_pool_3x3', 2),
    ('sep_conv_3x3', 2), ('max_pool_3x3', 1), ], reduce_concat = [4, 5, 6], )
"""

AMOEBANET = """
AmoebaNet = Genotype( normal = [ ('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0),
    ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('avg_pool_3x3', 3), ('sep_conv_3x3', 1),
    ('skip_connect', 1), ('skip_connect', 0), ('avg_pool_3x3', 1), ], normal_concat = [4, 5, 6],
    reduce = [ ('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('sep_conv_7x7', 2),
    ('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1),
    ('conv_7x1_1x7', 0), ('sep_conv_3x3', 5), ], reduce_concat = [3, 4, 6] )
"""

DARTS_V1 = """
DARTS_V1 = Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0),
    ('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0),
    ('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0),
    ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0),
    ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])
"""

DARTS_V2 = """
DARTS_V2 = Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0),
    ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0),
    ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0),
    ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0),
    ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])
"""

SNAS_MILD = """
SNAS_mild = Genotype( normal=[ ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 0),
    ('dil_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0),
    ('sep_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[ ('max_pool_3x3', 0),
    ('max_pool_3x3', 1), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1),
    ('skip_connect', 2), ('max_pool_3x3', 0), ('dil_conv_5x5', 2)], reduce_concat=range(2, 6))
"""

SNAS_MODERATE = """
SNAS_moderate = Genotype( normal=[ ('dil_conv_5x5', 0), ('skip_connect', 1), ('sep_conv_3x3', 0),
    ('skip_connect', 1), ('skip_connect', 0), ('skip_connect', 1), ('sep_conv_3x3', 0),
    ('dil_conv_5x5', 1)], normal_concat=range(2, 6), reduce=[ ('max_pool_3x3', 0),
    ('max_pool_3x3', 1), ('sep_conv_5x5', 0), ('dil_conv_5x5', 1), ('sep_conv_5x5', 0),
    ('sep_conv_5x5', 1), ('sep_conv_5x5', 0), ('sep_conv_5x5', 0)], reduce_concat=range(2, 6))
"""

SNAS_MODERATE_EDGE_ALL = """
SNAS_moderate_edge_all = Genotype( normal=[ ('dil_conv_5x5', 0), ('skip_connect', 1),
    ('sep_conv_3x3', 0), ('skip_connect', 1), ('none', 2), ('skip_connect', 0), ('none', 3),
    ('none', 2), ('skip_connect', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 1), ('none', 4),
    ('none', 3), ('none', 2)], normal_concat=range(2, 6), reduce=[ ('max_pool_3x3', 0),
    ('max_pool_3x3', 1), ('sep_conv_5x5', 0), ('none', 2), ('dil_conv_5x5', 1), ('none', 3),
    ('none', 2), ('sep_conv_5x5', 0), ('sep_conv_5x5', 1), ('none', 4), ('none', 3), ('none', 2),
    ('sep_conv_5x5', 0), ('sep_conv_5x5', 1)], reduce_concat=range(2, 6))
"""

PC_DARTS_CIFAR = """
PC_DARTS_cifar = Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0),
    ('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0),
    ('dil_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), ('max_pool_3x3',
    0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('sep_conv_3x3', 3),
    ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))
"""

PC_DARTS_IMAGE = """
PC_DARTS_image = Genotype(normal=[('skip_connect', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 0),
    ('skip_connect', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1),
    ('dil_conv_5x5', 4)], normal_concat=range(2, 6), reduce=[('sep_conv_3x3', 0), ('skip_connect',
    1), ('dil_conv_5x5', 2), ('max_pool_3x3', 1), ('sep_conv_3x3', 2), ('sep_conv_3x3', 1),
    ('sep_conv_5x5', 0), ('sep_conv_3x3', 3)], reduce_concat=range(2, 6))
"""

PDARTS = """
PDARTS = Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect',
    0),('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3',0),
    ('dil_conv_5x5', 4)], normal_concat=range(2, 6), reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5',
    1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0), ('dil_conv_3x3', 1),
    ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], reduce_concat=range(2, 6))
"""

PNASNET = """
PNASNet = Genotype( normal = [ (('sep_conv_5x5', 0), ('max_pool_3x3', 0)), (('sep_conv_7x7', 1),
    ('max_pool_3x3', 1)), (('sep_conv_5x5', 1), ('sep_conv_3x3', 1)), (('sep_conv_3x3', 4),
    ('max_pool_3x3', 1)), (('sep_conv_3x3', 0), ('skip_connect', 1)), ], normal_concat = [2, 3, 4,
    5, 6], reduce = [ (('sep_conv_5x5', 0), ('max_pool_3x3', 0)), (('sep_conv_7x7', 1),
    ('max_pool_3x3', 1)), (('sep_conv_5x5', 1), ('sep_conv_3x3', 1)), (('sep_conv_3x3', 4),
    ('max_pool_3x3', 1)), (('sep_conv_3x3', 0), ('skip_connect', 1)), ], reduce_concat = [2, 3, 4,
    5, 6], connectN=None, connects=None, )
"""

SETN = """
SETN = Genotype( normal=[ (('skip_connect', 0), ('sep_conv_5x5', 1)), (('sep_conv_5x5', 0),
    ('sep_conv_3x3', 1)), (('sep_conv_5x5', 1), ('sep_conv_5x5', 3)), (('max_pool_3x3', 1),
    ('conv_3x1_1x3', 4))], normal_concat=[2, 3, 4, 5], reduce=[ (('sep_conv_3x3', 0),
    ('sep_conv_5x5', 1)), (('avg_pool_3x3', 0), ('sep_conv_5x5', 1)), (('avg_pool_3x3', 0),
    ('sep_conv_5x5', 1)), (('avg_pool_3x3', 0), ('skip_connect', 1))], reduce_concat=[2, 3, 4, 5],
    connectN=None, connects=None )
"""

GDAS_V1 = """
GDAS_V1 = Genotype( normal=[ (('skip_connect', 0), ('skip_connect', 1)), (('skip_connect', 0),
    ('sep_conv_5x5', 2)), (('sep_conv_3x3', 3), ('skip_connect', 0)), (('sep_conv_5x5', 4),
    ('sep_conv_3x3', 3))], normal_concat=[2, 3, 4, 5], reduce=[ (('sep_conv_5x5', 0),
    ('sep_conv_3x3', 1)), (('sep_conv_5x5', 2), ('sep_conv_5x5', 1)), (('dil_conv_5x5', 2),
    ('sep_conv_3x3', 1)), (('sep_conv_5x5', 0), ('sep_conv_5x5', 1))], reduce_concat=[2, 3, 4, 5],
    connectN=None, connects=None )
"""

PUBLISHED = {
    "NASNet": NASNET,
    "AmoebaNet": AMOEBANET,
    "DARTS_V1": DARTS_V1,
    "DARTS_V2": DARTS_V2,
    "SNAS_mild": SNAS_MILD,
    "SNAS_moderate": SNAS_MODERATE,
    "SNAS_moderate_edge_all": SNAS_MODERATE_EDGE_ALL,
    "PC_DARTS_cifar": PC_DARTS_CIFAR,
    "PC_DARTS_image": PC_DARTS_IMAGE,
    "PDARTS": PDARTS,
    "PNASNet": PNASNET,
    "SETN": SETN,
    "GDAS_V1": GDAS_V1,
}
