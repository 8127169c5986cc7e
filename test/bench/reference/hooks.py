"""Hooks on a model's patterns and z."""


class Captured:
    """Hooks that keep every pattern and z of a run."""

    def __init__(self, model, patterns=True):
        self.values = {}
        self.handles = []
        for layer, block in enumerate(model.blocks):
            points = {"z": block.attn.hook_z, **({"pattern": block.attn.hook_pattern} if patterns else {})}
            for name, point in points.items():
                self.handles.append(point.register_forward_hook(self.keep((name, layer))))

    def keep(self, key):
        def hook(_module, _inputs, output):
            self.values[key] = output.detach()

        return hook

    def remove(self):
        for handle in self.handles:
            handle.remove()
