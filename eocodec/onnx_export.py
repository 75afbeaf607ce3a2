"""The decoder's networks as ONNX graphs: the same integers in any runtime.

Three graphs, batched: ``mean`` and ``scale`` take token indices [N, stages, …, h, w] (int64, an index one past the
codebook adding nothing), ``synthesis`` latents [N, L, …, h, w] (float32). What they compute is that of
:mod:`eocodec.integer_networks`; everything else of a decoder is in SPEC.md. A runtime must not rewrite the graphs
with other roundings: ONNX Runtime folds multiplications into convolutions unless its optimisations are off
(``graph_optimization_level = ORT_DISABLE_ALL``).

Needs the onnx package: ``pip install eocodec[onnx]``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from eocodec.integer_networks import (
    COEFFICIENT_BITS,
    LATENT_BITS,
    LATENT_LIMIT_BITS,
    WEIGHT_BITS,
    IntegerConv,
    TokenNetwork,
    per_channel,
)
from eocodec.model import Model

OPSET = 17
IR_VERSION = 9


class _Graph:
    """Collects nodes and constants; every method returns the name of its result.

    Grids have two axes, or three with blocks of levels.
    """

    def __init__(self, ndim: int) -> None:
        self._axes = ["d", "h", "w"][-ndim:]
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node."""
        output = output or f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Store a constant."""
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def clip(self, x: str, low: float, high: float, dtype: npt.DTypeLike = np.float32) -> str:
        """Clamp."""
        return self.add("Clip", x, self.constant(low, dtype), self.constant(high, dtype))

    def conv(self, x: str, layer: IntegerConv) -> str:
        """Apply an integer convolution."""
        reach = layer.weight.shape[2] // 2
        weight, bias = self.constant(layer.weight), self.constant(layer.bias)
        total = self.add("Conv", x, weight, bias, pads=[reach] * 2 * len(self._axes))
        multiplier = per_channel(layer.multiplier, 1 + len(self._axes))
        scaled = self.add("Mul", total, self.constant(multiplier))
        return self.clip(self.add("Round", scaled), layer.low, layer.high)

    def channels_last(self, x: str) -> str:
        """[N, C, …] -> [N, …, C]."""
        return self.add("Transpose", x, perm=[0, *range(2, 2 + len(self._axes)), 1])

    def channels_first(self, x: str) -> str:
        """[N, …, C] -> [N, C, …]."""
        return self.add(
            "Transpose", x, perm=[0, 1 + len(self._axes), *range(1, 1 + len(self._axes))]
        )

    def pixel_shuffle(self, x: str) -> str:
        """[N, 4 C, …, h, w] -> [N, C, …, 2h, 2w]."""
        if len(self._axes) == 2:
            return self.add("DepthToSpace", x, blocksize=2, mode="CRD")
        planes = self.add("Transpose", x, perm=[0, 2, 1, 3, 4])
        outer = self.add("Shape", planes, start=0, end=2)
        inner = self.add("Shape", planes, start=2, end=5)
        every = self.add("Concat", self.constant([-1], np.int64), inner, axis=0)
        flat = self.add("Reshape", planes, every)
        shuffled = self.add("DepthToSpace", flat, blocksize=2, mode="CRD")
        inner = self.add("Shape", shuffled, start=1, end=4)
        apart = self.add("Reshape", shuffled, self.add("Concat", outer, inner, axis=0))
        return self.add("Transpose", apart, perm=[0, 2, 1, 3, 4])

    def grid(self, name: str, channels: int, dtype: int = TensorProto.FLOAT) -> Any:
        """Declare an input."""
        return helper.make_tensor_value_info(name, dtype, ["N", channels, *self._axes])

    def save(self, path: Path, inputs: list[Any], output: str, dtype: int) -> Path:
        """Write the graph."""
        axes = [axis.upper() for axis in self._axes]
        result = helper.make_tensor_value_info(output, dtype, ["N", "C", *axes])
        graph = helper.make_graph(self._nodes, path.stem, inputs, [result], self._constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def _token_graph(network: TokenNetwork, path: Path) -> Path:
    graph = _Graph(network.spatial.weight.ndim - 2)
    total = ""
    for stage, table in enumerate(network.embedding):
        number = graph.constant(stage, np.int64)
        index = graph.add("Gather", "indices", number, axis=1)
        part = graph.add("Gather", graph.constant(table), index)
        total = graph.add("Add", total, part) if total else part
    x = graph.clip(graph.channels_first(total), 0, 255)
    x = graph.conv(graph.conv(x, network.spatial), network.expand)
    x = graph.conv(graph.pixel_shuffle(x), network.project)
    inputs = [graph.grid("indices", len(network.embedding), TensorProto.INT64)]
    return graph.save(path, inputs, x, TensorProto.FLOAT)


def _synthesis_graph(model: Model, path: Path) -> Path:
    graph = _Graph(model.config.ndim)
    wide = graph.add("Cast", "latents", to=TensorProto.DOUBLE)
    fixed = graph.add("Mul", wide, graph.constant(2.0**LATENT_BITS, np.float64))
    limit = 2.0**LATENT_LIMIT_BITS
    fixed = graph.clip(graph.add("Round", fixed), -limit, limit, np.float64)
    rows = graph.channels_last(fixed)
    total = graph.add("MatMul", rows, graph.constant(model.linear.weight.T, np.float64))
    down = 2.0 ** (COEFFICIENT_BITS - LATENT_BITS - WEIGHT_BITS)
    total = graph.add("Round", graph.add("Mul", total, graph.constant(down, np.float64)))
    inputs = [graph.grid("latents", model.config.latents)]
    return graph.save(path, inputs, graph.channels_first(total), TensorProto.DOUBLE)


def export_onnx(model: Model, folder: Path) -> list[Path]:
    """Write ``mean.onnx``, ``scale.onnx`` and ``synthesis.onnx`` into a folder.

    Parameters
    ----------
    model : Model
    folder : Path
        Made where it does not exist.

    Returns
    -------
    list of Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _token_graph(model.mean_network, folder / "mean.onnx"),
        _token_graph(model.scale_network, folder / "scale.onnx"),
        _synthesis_graph(model, folder / "synthesis.onnx"),
    ]
