"""Translation of checkpoint keys of other packages and versions to ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: Keys of other versions → ours, tried in order for keys that the model does not have. Most families have the same
#: names in MMRotate 0.x and 1.x, but not the heads of R3Det. MMDetection used other names for the last convolutions of
#: FCOS before 2.1, and MMRotate reads those names, too.
RENAMED = (
    (r"^bbox_head\.fcos_(cls|reg|centerness)\.", r"bbox_head.conv_\1."),
    (r"^bbox_head\.", "bbox_head_init."),
    (r"^refine_head\.(\d+)\.", r"bbox_head_refine.\1."),
    (r"^feat_refine_module\.(\d+)\.", r"bbox_head_refine.\1.feat_refine_module."),
)

#: Layers of EfficientNet-PyTorch outside its blocks → timm's.
EFFICIENTNET_ENDS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
#: Layers of a block of EfficientNet-PyTorch with expansion → timm's.
EFFICIENTNET_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
#: The same without expansion, as in the first stage: two convolutions, which timm numbers from one.
EFFICIENTNET_NARROW_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}

#: Positions in a block of the original PyTorch MobileNetV2, where convolution, norm and activation are in one sequence
#: → torchvision's, where they form one module; for blocks with and without expansion.
MOBILENET_BLOCK = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
MOBILENET_NARROW_BLOCK = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}


def our_names(theirs: Iterable[str], ours: Iterable[str]) -> dict[str, str]:
    """Maps each key of a checkpoint to its name in the model.

    Besides renamed keys, two complete naming schemes are known: EfficientNet-PyTorch (the lite models, for timm's) and
        the
    original PyTorch MobileNetV2 (for torchvision's). In these, one key may name different layers, so a file is renamed
    as a whole.

    Args:
        theirs: Keys of the checkpoint.
        ours: Keys of the model.

    Returns:
        Mapping from all keys of the checkpoint to ours; keys without another name stay the same.
    """
    theirs, ours = list(theirs), set(ours)
    if "_conv_stem.weight" in theirs and "conv_stem.weight" in ours:
        return _efficientnet(theirs, ours)
    if "features.1.conv.4.weight" in theirs and {"features.1.conv.0.0.weight", "features.1.conv.2.weight"} <= ours:
        return _mobilenet_v2(theirs)
    return {key: _renamed(key, ours) for key in theirs}


def _efficientnet(theirs: list[str], ours: set[str]) -> dict[str, str]:
    """EfficientNet-PyTorch numbers blocks through the network, timm within each stage."""
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
            # A model without its last stages lacks their blocks.
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
