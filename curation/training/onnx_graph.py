"""The weights of an ONNX decoder by Meta's names, and back into the same graph."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from curation.errors import InputError
from curation.whole_files import write_whole

_PREFIXES = ("mask_decoder.", "prompt_encoder.")
#: Where the export gave up a weight's name: the node that reads it, which input it is, and Meta's name.
_NODES = {
    ("/output_upscaling.1/Mul", 0): "mask_decoder.output_upscaling.1.weight",
    ("/output_upscaling.1/Add_1", 1): "mask_decoder.output_upscaling.1.bias",
    ("/Mul_15", 1): "prompt_encoder.no_mask_embed.weight",
}
#: The tokens that every prompt starts with, in one initialiser: object score, IoU, four masks.
_TOKENS = ("/Expand_9", 0)
_TOKEN_NAMES = {
    "mask_decoder.obj_score_token.weight": slice(0, 1),
    "mask_decoder.iou_token.weight": slice(1, 2),
    "mask_decoder.mask_tokens.weight": slice(2, 6),
}
#: Weights of the mask input, which is not trained.
_LEFT_OUT = "prompt_encoder.mask_downscaling."


@dataclass(frozen=True)
class _Place:
    """Where a weight lies: in an initialiser, or in rows of it (tokens), and whether it lies transposed."""

    initializer: str
    is_transposed: bool = False
    rows: slice | None = None

    def read(self, array: np.ndarray, name: str) -> np.ndarray:
        if self.is_transposed:
            return array.T
        if self.rows is not None:
            return array[0, self.rows]
        return (
            array.reshape(1, -1)
            if "embed" in name
            else array.squeeze((1, 2))
            if array.shape[1:] == (1, 1)
            else array
        )

    def write(self, array: np.ndarray, value: np.ndarray) -> np.ndarray:
        """The whole initialiser with `value` in it."""
        if self.is_transposed:
            return np.ascontiguousarray(value.T)
        if self.rows is None:
            return value.reshape(array.shape)
        changed = array.copy()
        changed[0, self.rows] = value
        return changed


class OnnxDecoder:
    """A SAM 2 decoder's graph whose weights can be read and replaced. Raises InputError for other graphs."""

    def __init__(self, path: Path) -> None:
        try:
            self._model = onnx.load(path)
        except Exception as error:  # protobuf's errors share no base class below Exception
            raise InputError(
                f"{path}: no ONNX file ({error}); training needs the decoder as .onnx"
            ) from error
        self.path = path
        self._initializers = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self._places = dict(self._named_places())

    def weights(self) -> dict[str, np.ndarray]:
        """Float32 arrays by Meta's names, linear layers as (out, in)."""
        return {name: np.array(place.read(self._array(place), name)) for name, place in self._places.items()}

    def save(self, weights: Mapping[str, np.ndarray], path: Path) -> None:
        """Write the graph with these weights in place of its own; all others stay as they are, to the byte."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        arrays = {}
        for name, value in weights.items():
            place = self._places[name]
            before = arrays.get(place.initializer, self._array(place))
            arrays[place.initializer] = place.write(before, np.asarray(value, np.float32))
        for tensor in model.graph.initializer:
            if tensor.name in arrays:
                tensor.raw_data = arrays[tensor.name].astype("<f4").tobytes()
        write_whole(path, model.SerializeToString())

    @property
    def side(self) -> int:
        """Side of the square that points are given in: 16 px a cell of the image embedding."""
        shape = next(i for i in self._model.graph.input if i.name == "image_embed").type.tensor_type.shape
        return 16 * shape.dim[-1].dim_value

    def _array(self, place: _Place) -> np.ndarray:
        return numpy_helper.to_array(self._initializers[place.initializer])

    def _named_places(self) -> Iterator[tuple[str, _Place]]:
        for name in self._initializers:
            if name.startswith(_PREFIXES) and not name.startswith(_LEFT_OUT):
                yield name, _Place(name)
        yield from self._linear_places()
        nodes = {node.name: node for node in self._model.graph.node}
        try:
            for (node, index), name in _NODES.items():
                yield name, _Place(self._checked(nodes[node].input[index]))
            tokens = self._checked(nodes[_TOKENS[0]].input[_TOKENS[1]])
        except KeyError as error:
            raise InputError(
                f"{self.path}: the graph has no {error.args[0]}; training takes decoders of SAM 2 as sam2-tiny's is exported"
            ) from error
        for name, rows in _TOKEN_NAMES.items():
            yield name, _Place(tokens, rows=rows)

    def _linear_places(self) -> Iterator[tuple[str, _Place]]:
        """A linear layer is a product with an unnamed matrix, to which a named bias is added."""
        products = {node.output[0]: node for node in self._model.graph.node if node.op_type == "MatMul"}
        for node in self._model.graph.node:
            if node.op_type != "Add":
                continue
            for bias, product in (tuple(node.input), tuple(node.input)[::-1]):
                if bias.startswith(_PREFIXES) and product in products:
                    matrix = products[product].input[1]
                    yield (
                        bias.removesuffix("bias") + "weight",
                        _Place(self._checked(matrix), is_transposed=True),
                    )

    def _checked(self, initializer: str) -> str:
        if initializer not in self._initializers:
            raise KeyError(initializer)
        return initializer
