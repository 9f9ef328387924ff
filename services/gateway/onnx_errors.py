"""The errors by which ONNX Runtime ends a run. Who reads one imports this file late, as a forward must have failed."""

from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, NotImplemented, RuntimeException

REJECTIONS = (Fail, InvalidArgument, RuntimeException)
"""With these ONNX Runtime ends a run because of an input. It also does so for a graph that is wrong in itself."""
MODEL_ERRORS = (*REJECTIONS, NotImplemented)
"""What ONNX Runtime raises when a model fails on inputs that fit its signature."""
