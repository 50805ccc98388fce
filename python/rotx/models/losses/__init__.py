"""Losses, one class each. All have the same signature and the keywords of MMRotate 1.x and mmdet 3.3.

``loss(pred, target, weight=None, avg_factor=None, reduction_override=None)``; see :class:`~.reduce.Loss`.

Heads pass the following arguments, as in mmdet. Unlike in mmdet, every avg_factor is averaged over the processes of a
distributed run (:mod:`rotx.models.processes`), so that their gradients equal those of one process with all images.

- Classification by sigmoid, :class:`~.focal.FocalLoss`: scores (N, C), labels (N,) int64 in [0, C] where C is
  the background; the loss converts them to one-hot itself. Weights (N,), 0 for ignored priors; FCOS has none.
  avg_factor: the number of positives. RetinaNet counts at least 1 per image, sums over the images and uses this
  sum for every level; FCOS counts at least 1 for the batch of all processes.
- Classification by softmax, :class:`~.cross_entropy.CrossEntropyLoss`: scores (N, C + 1), background last;
  labels and weights as above. avg_factor of a box head: the number of weights > 0, at least 1. An RPN uses
  ``use_sigmoid=True`` and scores (N, 1): label 0 is an object, 1 the background; avg_factor: the number of
  sampled priors, counting at least 1 positive and 1 negative per image. FCOS's centerness uses
  ``use_sigmoid=True``, scores (N,) and targets (N,) of the positives; avg_factor as for its classes.
- Regression of encoded boxes, :mod:`~.smooth_l1`: deltas (N, 4 or 5), targets and weights of the same shape.
  avg_factor: in a dense head that of the classification; in a box head the number of all sampled RoIs, although
  only the positives are passed.
- Regression of decoded boxes (``reg_decoded_bbox=True``, FCOS), :mod:`~.iou` and :mod:`~.gaussian`: boxes in
  pixels, weights (N,) or (N, 5), which are averaged over each box. A dense head also passes the negatives,
  with weight 0 and zeros as targets: all losses are finite there. FCOS passes only positives, weighted by
  their centerness targets; avg_factor is the sum of these, at least 1e-6.
- :class:`~.gaussian.KFLoss`: encoded boxes, and the decoded ones as ``pred_decode`` and ``targets_decode``.
- Point sets, :class:`~.convex_giou.ConvexGIoULoss`: those (N, 2k) of the positives of one level, and their quads
  (N, 8), both divided by the stride times a constant; avg_factor: as for the classes.
- Angle classification, :class:`~.focal.SmoothFocalLoss`: scores (N, A) and smooth labels (N, A), weights
  (N, 1) or (N,).
"""
