"""ONNX models written node by node."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET, _IR = 17, 8  # old enough for the runtimes on robots


class Graph:
    """Nodes and constants under construction; values are known by name."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        """The name of a constant array."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype=kind), name))
        return name

    def add(self, operation: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds a node; the name of its result."""
        output = output or f"{operation.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def model(
        self,
        name: str,
        inputs: Mapping[str, int],
        outputs: Mapping[str, int],
        metadata: Mapping[str, str],
    ) -> bytes:
        """The checked model; inputs and outputs are (batch, width) by name."""
        first, last = (
            [
                helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", width])
                for n, width in values.items()
            ]
            for values in (inputs, outputs)
        )
        graph = helper.make_graph(self._nodes, name, first, last, self._constants)
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=_IR, producer_name="twist_cmg"
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()
