default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=1, save_best='auto'))

load_from = None
resume = False
