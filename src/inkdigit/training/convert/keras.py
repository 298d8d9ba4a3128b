"""From a model file to a Keras 3 file: stock layers only, opened by `keras.models.load_model` on any backend.

In: a recogniser. Out: the bytes of a `.keras` file. Its input is float32 (N, 28, 28, 1), 0–255, prepared images; its
output is the probabilities (N, K), without score and outliers. Scaling is its first layer, temperature and softmax are
its last; the layers between have the names of those of the network. It is a `Sequential`, or functional where residual
blocks branch or a layer is used again.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inkdigit.errors import MissingExtra, UsageError
from inkdigit.files import writing
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.model_file import verify
from inkdigit.training.convert.restore import recipe_of, restore
from inkdigit.training.network import nets
from inkdigit.training.recipe import EXTERNAL
from inkdigit.types import SIDE, Floats, Gray

SUFFIX = ".keras"  # Keras opens no file without it
NO_MOMENTS = "Use the model file as it is, or train it with moments = false."
ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ELU: "elu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Tanh: "tanh",
}


def keras_bytes(recognizer: Recognizer) -> bytes:
    """The bytes of the `.keras` file, after it was opened and compared with the model file.

    Raises:
        UsageError: the file has no float weights, or a layer that Keras does not have.
        ParityError: the Keras file does not predict what the model file does.
        MissingExtra: Keras is not installed.
    """
    if recipe_of(recognizer).net == EXTERNAL:
        hint = "Its model file runs wherever ONNX does."
        raise UsageError(f"{recognizer.path} is a network of your own, which Keras may not have layers for", hint=hint)
    net, recipe = restore(recognizer)
    if recipe.moments:
        raise UsageError(f"{recognizer.path} normalises moments, which no stock layer of Keras does", hint=NO_MOMENTS)
    keras = _keras()
    with (
        writing(Path(tempfile.gettempdir())),
        tempfile.TemporaryDirectory() as folder,
        keras.device("cpu"),
        _defaults(keras),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras 3.15 on NumPy 2.4 has one of its own
        path = Path(folder) / f"model{SUFFIX}"
        name = re.sub(r"\W+", "_", f"inkdigit_{recipe.name}")
        net = nets.only_classes(net, len(recognizer.classes))
        _model(keras, net, temperature=recognizer.card.calibration.temperature, name=name).save(path)
        written = keras.models.load_model(path)

        def predict(images: Gray) -> Floats:
            floats = images[..., None].astype("float32")
            probs: Floats = keras.ops.convert_to_numpy(written(floats, training=False))
            return probs

        verify(recognizer, predict, what="Keras file")
        return path.read_bytes()


def _keras() -> Any:
    """Keras, with PyTorch as its backend unless it is imported already; the environment is restored."""
    before = os.environ.get("KERAS_BACKEND")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    try:
        import keras
    except ModuleNotFoundError as exc:
        raise MissingExtra("Writing a .keras file needs keras", "train") from exc
    finally:
        if before is None:
            os.environ.pop("KERAS_BACKEND", None)
        else:
            os.environ["KERAS_BACKEND"] = before
    return keras


@contextmanager
def _defaults(keras: Any) -> Iterator[None]:
    """Float32 and channels last, whatever the user has set for Keras."""
    order, policy = keras.config.image_data_format(), keras.config.dtype_policy()
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_image_data_format(order)
        keras.config.set_dtype_policy(policy)


def _model(keras: Any, net: nn.Sequential, *, temperature: float, name: str) -> Any:
    """The Keras model with the weights of `net`."""
    image = keras.Input((SIDE, SIDE, 1), name="image")
    chain = _Chain(keras.layers)
    x = image
    for layer, module in net.named_children():
        x = chain.add(x, layer, module)
    x = chain.apply(x, keras.layers.Rescaling(1 / temperature, name="temperature"))
    x = chain.apply(x, keras.layers.Softmax(name="probs"))
    if any(isinstance(module, nets.Residual | nets.Again) for module in net):
        return keras.Model(image, x, name=name)
    return keras.Sequential([image, *chain.applied], name=name)


class _Chain:
    """Layers of PyTorch, converted to layers of Keras and applied one after the other."""

    def __init__(self, layers: Any) -> None:
        self.layers = layers  # the module keras.layers
        self.applied: list[Any] = []
        self.flattened: tuple[int, int, int] | None = None  # (H, W, C) of the input of the next dense layer
        self.convolutions: dict[str, Any] = {}  # by their names: one may be used again

    def apply(self, x: Any, layer: Any, *weights: torch.Tensor | None) -> Any:
        """Call a Keras layer on `x` and set its weights."""
        y = layer(x)
        layer.set_weights([w.detach().numpy() for w in weights if w is not None])
        self.applied.append(layer)
        return y

    def add(self, x: Any, name: str, module: nn.Module) -> Any:
        """Apply the Keras layer that is equivalent to `module`."""
        k = self.layers
        match module:
            case nets.Residual():
                return self._residual(x, name, module)
            case nets.Again():
                return self._again(x, name, module)
            case nets.PooledConv2d():
                return self.apply(self._conv(x, name, module), k.AveragePooling2D(2, name=f"{name}_pool"))
            case nn.Conv2d():
                return self._conv(x, name, module)
            case nn.Linear():
                return self._dense(x, name, module)
            case nn.BatchNorm2d(eps=eps, momentum=momentum) | nn.BatchNorm1d(eps=eps, momentum=momentum):
                layer = k.BatchNormalization(epsilon=eps, momentum=1 - (momentum or 0), name=name)
                numbers = (module.weight, module.bias, module.running_mean, module.running_var)
                return self.apply(x, layer, *(None if n is None else self._in_order(n) for n in numbers))
            case nets.Normalize():
                mean, std = float(module.mean), float(module.std)
                return self.apply(x, k.Rescaling(1 / (255 * std), offset=-mean / std, name=name))
            case nn.Flatten():
                self.flattened = x.shape[1:]
                return self.apply(x, k.Flatten(name=name))
            case nn.Identity():
                return x
        return self.apply(x, self._plain(name, module))

    def _plain(self, name: str, module: nn.Module) -> Any:
        """A layer without weights that both libraries have."""
        k = self.layers
        match module:
            case nn.LeakyReLU():
                return k.LeakyReLU(negative_slope=module.negative_slope, name=name)
            case nn.MaxPool2d():
                return k.MaxPooling2D(module.kernel_size, name=name)
            case nn.AvgPool2d():
                return k.AveragePooling2D(module.kernel_size, name=name)
            case nets.GlobalMax():
                return k.GlobalMaxPooling2D(name=name)
            case nets.GlobalAverage():
                return k.GlobalAveragePooling2D(name=name)
            case nn.Dropout():
                return k.Dropout(module.p, name=name)
        return k.Activation(ACTIVATIONS[type(module)], name=name)

    def _conv(self, x: Any, name: str, conv: nn.Conv2d) -> Any:
        padding, stride = int(conv.padding[0]), conv.stride[0]
        settings = {
            "strides": stride,
            "padding": "same" if padding and stride == 1 else "valid",
            "use_bias": conv.bias is not None,
            "name": name,
        }
        if conv.groups > 1:
            layer = self.layers.DepthwiseConv2D(conv.kernel_size, **settings)
            weight = conv.weight.permute(2, 3, 0, 1)  # (C, 1, H, W) → (H, W, C, 1)
        else:
            layer = self.layers.Conv2D(conv.out_channels, conv.kernel_size, **settings)
            weight = conv.weight.permute(2, 3, 1, 0)  # (O, I, H, W) → (H, W, I, O)
        self.convolutions[name] = layer
        return self.apply(self._padded(x, name, conv), layer, weight, conv.bias)

    def _padded(self, x: Any, name: str, conv: nn.Conv2d) -> Any:
        """`x`, with zeros around it where "same" would add the odd row on the opposite side."""
        if not conv.padding[0] or conv.stride[0] == 1:
            return x
        return self.apply(x, self.layers.ZeroPadding2D(int(conv.padding[0]), name=f"{name}_pad"))

    def _again(self, x: Any, name: str, again: nets.Again) -> Any:
        assert isinstance(again.layer, nn.Conv2d)
        return self.convolutions[again.of](self._padded(x, name, again.layer))

    def _dense(self, x: Any, name: str, linear: nn.Linear) -> Any:
        weight = self._in_order(linear.weight)  # (U, F)
        self.flattened = None
        return self.apply(x, self.layers.Dense(linear.out_features, name=name), weight.T, linear.bias)

    def _in_order(self, weight: torch.Tensor) -> torch.Tensor:
        """Weights (…, F) of features in the order of Keras, which flattens (H, W, C), and PyTorch (C, H, W)."""
        if self.flattened is None:
            return weight
        h, w, c = self.flattened
        return weight.reshape(*weight.shape[:-1], c, h, w).movedim(-3, -1).flatten(-3)

    def _residual(self, x: Any, name: str, block: nets.Residual) -> Any:
        y, shortcut = x, x
        for part in ("conv1", "norm1"):
            y = self.add(y, f"{name}_{part}", block.get_submodule(part))
        y = self.add(y, f"{name}_activation1", block.activation)
        for part in ("conv2", "norm2"):
            y = self.add(y, f"{name}_{part}", block.get_submodule(part))
        for part in ("project", "project_norm"):
            shortcut = self.add(shortcut, f"{name}_{part}", block.get_submodule(part))
        y = self.layers.Add(name=f"{name}_add")([y, shortcut])
        return self.add(y, f"{name}_activation2", block.activation)
