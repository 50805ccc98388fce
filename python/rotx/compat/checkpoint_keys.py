"""Keys of other packages' and versions' checkpoints → ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: Keys of other versions → ours, tried in turn on keys that the model does not have. The five families (RetinaNet,
#: FCOS, Faster R-CNN, Oriented R-CNN, RoI Transformer) have the same names in MMRotate 0.x and 1.x; MMDetection
#: named the last convolutions of FCOS otherwise before 2.1, and MMRotate reads those names too.
RENAMED = ((r"^bbox_head\.fcos_(cls|reg|centerness)\.", r"bbox_head.conv_\1."),)

#: Layers of EfficientNet-PyTorch outside its blocks → those of timm.
EFFICIENTNET_ENDS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
#: Layers of a block of EfficientNet-PyTorch → those of timm, where the block widens its input first.
EFFICIENTNET_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
#: The same where it does not, as in the first stage: two convolutions, which timm counts from one again.
EFFICIENTNET_NARROW_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}

#: Positions in a block of MobileNetV2 as it was first written in PyTorch, where convolution, norm and activation
#: stand in one row → torchvision's, where the three make one module; for blocks that widen their input and others.
MOBILENET_BLOCK = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
MOBILENET_NARROW_BLOCK = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}


def our_names(theirs: Iterable[str], ours: Iterable[str]) -> dict[str, str]:
    """The name in the model of each key of a checkpoint.

    Besides single keys that were renamed, two whole namings are known: of EfficientNet-PyTorch (the lite models,
    for timm's) and of the first MobileNetV2 in PyTorch (for torchvision's). In those the same key may mean another
    layer than in ours, so that a file is renamed as a whole.

    Args:
        theirs: keys of the checkpoint.
        ours: keys of the model.

    Returns:
        their key → ours, for all of theirs; a key that has no other name here stays.
    """
    theirs, ours = list(theirs), set(ours)
    if "_conv_stem.weight" in theirs and "conv_stem.weight" in ours:
        return _efficientnet(theirs, ours)
    if "features.1.conv.4.weight" in theirs and {"features.1.conv.0.0.weight", "features.1.conv.2.weight"} <= ours:
        return _mobilenet_v2(theirs)
    return {key: _renamed(key, ours) for key in theirs}


def _efficientnet(theirs: list[str], ours: set[str]) -> dict[str, str]:
    """There, blocks are counted through the network; timm counts them in each stage."""
    found = (re.match(r"blocks\.(\d+)\.(\d+)\.", key) for key in ours)
    blocks = sorted({(int(at[1]), int(at[2])) for at in found if at})
    names = {}
    for key in theirs:
        layer, _, rest = key.partition(".")
        names[key] = f"{EFFICIENTNET_ENDS.get(layer, layer)}.{rest}"
        if layer == "_blocks":
            number, layer, rest = rest.split(".", 2)
            widens = f"_blocks.{number}._expand_conv.weight" in theirs
            layers = EFFICIENTNET_BLOCK if widens else EFFICIENTNET_NARROW_BLOCK
            # A model without its last stages has no place for their blocks.
            if int(number) < len(blocks) and layer in layers:
                stage, place = blocks[int(number)]
                names[key] = f"blocks.{stage}.{place}.{layers[layer]}.{rest}"
            else:
                names[key] = key
    return names


def _mobilenet_v2(theirs: list[str]) -> dict[str, str]:
    names = {}
    for key in theirs:
        names[key] = key
        at = re.fullmatch(r"(features\.\d+\.conv)\.(\d)\.(\w+)", key)
        if at:
            layers: Mapping[str, str] = MOBILENET_BLOCK if f"{at[1]}.7.weight" in theirs else MOBILENET_NARROW_BLOCK
            names[key] = f"{at[1]}.{layers.get(at[2], at[2])}.{at[3]}"
    return names


def _renamed(key: str, ours: set[str]) -> str:
    for pattern, replacement in RENAMED:
        new = re.sub(pattern, replacement, key)
        if key not in ours and new in ours:
            return new
    return key
