"""Losses: one class a loss, all called the same way, with the keywords of MMRotate 1.x and mmdet 3.3.

``loss(pred, target, weight=None, avg_factor=None, reduction_override=None)``; see :class:`~.reduce.Loss`.

What a head passes, as in mmdet, except that every avg_factor is the mean over the processes of a distributed run
(:mod:`rotx.models.processes`), so that they train as one with all their images does:

- classification by sigmoid, :class:`~.focal.FocalLoss`: scores (N, C), labels (N,) int64 in [0, C] where C is
  the background; the loss makes them one-hot itself. Weights (N,), 0 where a prior is ignored; FCOS has none.
  avg_factor: the number of positives; RetinaNet counts at least 1 in each image and adds the images up, level
  by level with the same sum; FCOS takes at least 1 for the batch of all processes.
- classification by softmax, :class:`~.cross_entropy.CrossEntropyLoss`: scores (N, C + 1), background last;
  labels and weights as above. avg_factor of a box head: the number of weights > 0, at least 1. An RPN has
  ``use_sigmoid=True`` and scores (N, 1): label 0 is an object, 1 the background; avg_factor: the number of
  sampled priors, at least 1 positive and 1 negative in each image. FCOS's centerness has ``use_sigmoid=True``,
  scores (N,) and targets (N,) of the positives; avg_factor as for its classes.
- regression of encoded boxes, :mod:`~.smooth_l1`: deltas (N, 4 or 5), targets and weights of that shape, the
  same avg_factor as the classification of the dense head; in a box head the number of all sampled RoIs, of
  which only the positives are passed.
- regression of decoded boxes (``reg_decoded_bbox=True``, FCOS), :mod:`~.iou` and :mod:`~.gaussian`: boxes in
  pixels, weights (N,) or (N, 5), of which the mean over a box counts. A dense head passes the negatives, too,
  with weight 0 and a target of zeros: all losses are finite there. FCOS passes positives only, weighted by
  their centerness targets, and the sum of those, at least 1e-6, as avg_factor.
- :class:`~.gaussian.KFLoss`: encoded boxes, and the decoded ones as ``pred_decode`` and ``targets_decode``.
- point sets, :class:`~.convex_giou.ConvexGIoULoss`: those (N, 2k) of the positives of one level, and their quads
  (N, 8), both divided by the stride times a constant; avg_factor: as for the classes.
- angle classification, :class:`~.focal.SmoothFocalLoss`: scores (N, A) and smooth labels (N, A), weights
  (N, 1) or (N,).
"""
