"""Layers shared by backbones, necks and heads, with mmcv's parameter names."""

from rotx.models.layers.activations import Activation
from rotx.models.layers.conv_module import ConvModule
from rotx.models.layers.convolutions import Conv
from rotx.models.layers.deform_conv import DeformConv2d
from rotx.models.layers.norms import BN, GN, Norm, SyncBN
from rotx.models.layers.scale import Scale
from rotx.models.layers.weights import bias_for_probability, freeze, normal_init, norms_to_eval, xavier_init

__all__ = [
    "BN",
    "GN",
    "Activation",
    "Conv",
    "ConvModule",
    "DeformConv2d",
    "Norm",
    "Scale",
    "SyncBN",
    "bias_for_probability",
    "freeze",
    "normal_init",
    "norms_to_eval",
    "xavier_init",
]
