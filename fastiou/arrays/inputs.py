"""Arrays of any library in, and results back in kind: the one place that looks at inputs."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastiou.arrays.colors import check_no_colors
from fastiou.arrays.frames import frame_array
from fastiou.runtime import chunks
from fastiou.runtime import gpu_arrays as interop
from fastiou.runtime.gpu_arrays import Delayed, GpuArray, GpuOutput, OnGpu
from fastiou.runtime.words import LONGEST_REASON, described_dtype, shortened
from fastiou.typing import Array

if TYPE_CHECKING:
    from fastiou.geometry import Geometry

__all__ = [
    "Input",
    "check_one_library",
    "elements_on_gpu",
    "flat_elements",
    "floats_on_gpu",
    "gpu_output",
    "hand_back",
    "integers_on_gpu",
    "label_array",
    "label_image",
    "mask_array",
    "mask_batch",
    "masks_on_gpu",
    "members_on_gpu",
    "output_array",
    "plain_array",
    "real_input",
    "result_dtype",
    "value_array",
]


#: Types that end, of which lists mostly are.
PLAIN = frozenset({list, tuple, int, float, bool, str, bytes, range, dict, type(None)})

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Input(NamedTuple):
    """An argument, checked, and where it came from."""

    name: str
    #: As a NumPy array, and of masks as `Masks`; or what is on a GPU and not copied yet.
    held: Any
    #: The array as it came, by which messages count rows.
    source: Any
    #: Turns a NumPy result into an array of the library that the argument came from; None for
    #: NumPy arrays and lists.
    wrap: Callable[[Array], Any] | None
    library: str
    #: Where it lies, if on a GPU.
    gpu: GpuArray | None = None
    #: What its members are, if it is a set that can be compared, and in which format.
    geometry: Geometry | None = None
    fmt: str = ""

    @property
    def array(self) -> Any:
        """As a NumPy array, a copy of one on a GPU; of masks, as `Masks`."""
        return self.held.on_host if isinstance(self.held, Delayed) else self.held

    @property
    def batches(self) -> tuple[int, ...]:
        """Leading dimensions of a set."""
        return self.held.shape[:-2] if isinstance(self.held, np.ndarray | OnGpu) else ()

    @property
    def size(self) -> int:
        """Members of a set, or of each batch."""
        is_array = isinstance(self.held, np.ndarray | OnGpu)
        return self.held.shape[-2] if is_array else len(self.held)


def _from_torch(name: str, tensor: Any, torch: Any) -> Array:
    _refuse_gradients(name, tensor)
    if tensor.device.type != "cpu":
        raise TypeError(
            f"{name} is on the device {tensor.device}, but fastiou computes on CPUs and NVIDIA "
            f"GPUs: pass {name}.cpu()"
        )
    if tensor.dtype == torch.bfloat16:  # NumPy has no such type; float32 holds it exactly
        tensor = tensor.float()
    try:
        return tensor.numpy()  # type: ignore[no-any-return]
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"{name} must be a dense tensor of real numbers: {_reason(error)}"
        ) from None


def _reason(error: Exception) -> str:
    """What another library says, in a few words."""
    return shortened(str(error), LONGEST_REASON)


def _refuse_gradients(name: str, value: Any) -> None:
    if getattr(value, "requires_grad", False):
        raise TypeError(
            f"{name} requires grad, but fastiou does not differentiate: pass {name}.detach()"
        )


def _from_gpu(name: str, value: Any) -> Input | None:
    """A GPU array, which is not copied yet; None for anything else."""
    if isinstance(value, list | tuple | int | float):
        return None
    _refuse_gradients(name, value)
    found = interop.read(value)
    if found is None:
        return None
    return Input(name, found, found, found.gpu.wrap, found.library, found.gpu)


def _as_input(name: str, value: Any) -> Input:
    """Any array-like, without a copy where that is possible."""
    if isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array; pass {name}.filled(nan) or the data")
        array = np.asarray(value)
        return Input(name, array, array, None, "numpy")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor) and value.device.type != "cuda":
        array = _from_torch(name, value, torch)
        return Input(name, array, array, torch.from_numpy, "torch")
    if not isinstance(value, list | tuple):
        columns = frame_array(value)
        if columns is not None:
            return Input(name, columns, columns, None, "numpy")
    on_gpu = _from_gpu(name, value)
    if on_gpu is not None:
        return on_gpu
    if hasattr(value, "__dlpack__") and hasattr(value, "__array_namespace__"):
        namespace = value.__array_namespace__()
        library = type(value).__module__.partition(".")[0].replace("jaxlib", "jax")
        try:
            array = np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError) as error:
            # A type that DLPack does not know comes by way of the buffer protocol, else not.
            try:
                array = np.asarray(value)
            except (TypeError, ValueError, RuntimeError):
                raise TypeError(f"{name} cannot be read on the CPU: {_reason(error)}") from None
        return Input(name, array, array, namespace.from_dlpack, library)
    _check_ends(name, value)
    try:
        array = np.asarray(value)
    except (ValueError, RuntimeError, TypeError) as error:
        reason = _different_parts(name, value) or _reason(error)
        raise ValueError(f"{name} cannot be read as an array: {reason}") from None
    except MemoryError:
        raise MemoryError(f"{name} does not fit in memory as an array") from None
    return Input(name, array, array, None, "numpy")


def _check_ends(name: str, value: Any) -> None:
    """Raise a ValueError if a sequence, or one in a list, has an item behind its last.

    NumPy would read on until the memory is full.
    """
    parts = [value, *value] if isinstance(value, list | tuple) else [value]
    if any(map(_is_endless, [part for part in parts if type(part) not in PLAIN])):
        raise ValueError(
            f"{name} has a sequence that does not end: behind its last item, by its length, are "
            "more, where an IndexError should be"
        )


def _is_endless(value: Any) -> bool:
    """Whether an object with items and a length, which is no array, goes on behind its last."""
    is_sequence = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    if not is_sequence or isinstance(value, Mapping) or hasattr(value, "__array__"):
        return False
    try:
        value[len(value)]
    except Exception:  # what it raises is its own, and NumPy says what it makes of that
        return False
    return True


def _different_parts(name: str, value: Any) -> str | None:
    """That arrays or lists in a list have different shapes, and what to do with boxes of images."""
    if not isinstance(value, list | tuple):
        return None
    if any(map(_is_rectangle, (value, *value[:1]))):
        rectangles = name if not _is_rectangle(value) else f"[{name}]"
        return (
            "it has rectangles as of cv2.minAreaRect: [(*middle, *size, angle) for middle, size, "
            f"angle in {rectangles}] with fmt='cxcywhr-cw' is an array of them"
        )
    first = None
    for part in value:
        try:
            shape = tuple(part.shape) if hasattr(part, "shape") else np.shape(part)
        except (TypeError, ValueError, RuntimeError):
            return None
        if first is None:
            first = shape
        if shape != first:
            hint = ""
            if len(first) == len(shape) == 2 and first[1] == shape[1] and first[1] in (4, 5):
                hint = f"; np.concatenate({name}) joins images, and groups= keeps them apart"
            return f"it has parts of the shapes {first} and {shape}{hint}"
    return None


def _is_rectangle(value: Any) -> bool:
    """Whether a value is ((x, y), (w, h), angle)."""
    try:
        return isinstance(value, tuple) and [np.shape(part) for part in value] == [(2,), (2,), ()]
    except (TypeError, ValueError, RuntimeError):
        return False


def _held(name: str, array: Array) -> str:
    """What an array holds that is no array of numbers, and what makes one of it."""
    if array.dtype.names:
        fields = shortened(", ".join(array.dtype.names))
        return (
            f"records with the fields {fields}: np.stack([{name}[field] for field in "
            f"{name}.dtype.names], axis=-1) makes an array of them"
        )
    first = array.reshape(-1)[0] if array.dtype == object and array.size else None
    if isinstance(first, dict):
        names = shortened(", ".join(map(str, first)))
        columns = name if array.ndim == 0 else f"pandas.DataFrame({name})"
        what = "a dict" if array.ndim == 0 else "dicts"
        if array.ndim == 0 and "boxes" in first:  # of a detector
            return f"a dict with {names}: pass {name}['boxes']"
        return f"{what} with {names}: BoxTable.from_frame({columns}) takes columns by their names"
    return f"dtype {described_dtype(array.dtype)}"


def plain_array(name: str, value: Any) -> Array:
    """Any array-like as a NumPy array."""
    array: Array = _as_input(name, value).array
    return array


def real_input(name: str, value: Any, *, any_width: bool = False) -> Input:
    """Any array-like of real numbers; bfloat16, which NumPy lacks, as float32, which holds it.

    Floats of more than 64 bits are for those who ask no more of a number than whether it is 0.
    """
    given = _as_input(name, value)
    array = given.held
    if array.dtype.kind == "V" and array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.shape == (0,) and array.dtype.kind not in "biuf":  # an empty list, whatever its dtype
        array = given.array.astype(np.float64)
    if array.dtype.kind not in "biuf" or (array.dtype.itemsize > 8 and not any_width):
        kinds = "integers or floats" if any_width else "integers, or floats of at most 64 bits"
        hint = "; .astype(float) makes numbers of objects" if array.dtype.kind == "O" else ""
        raise TypeError(f"{name} must hold booleans, {kinds}, got {_held(name, given.array)}{hint}")
    if array is given.held:
        return given
    return given._replace(held=array)


def members_on_gpu(work: Any, set1: Input, set2: Input) -> tuple[Any, Any] | None:
    """The members (n, numbers) of two sets on the GPU in use, those of the host copied.

    None where an array on a GPU cannot be looked at in that shape.
    """
    found = []
    for given in (set1,) if set2.held is set1.held else (set1, set2):
        shape = math.prod(given.held.shape[:-1]), given.held.shape[-1]
        if isinstance(given.held, np.ndarray):
            dtype = given.held.dtype.newbyteorder("=")
            kernels_read = np.dtype(np.float32) if dtype == np.float16 else dtype
            found.append(work.copied(chunks.copied(given.held.reshape(shape), kernels_read)))
            continue
        array = given.held.in_shape(shape)
        if array is None:
            return None
        found.append(array)
    return found[0], found[-1]


def integers_on_gpu(value: Any, count: int) -> Any | None:
    """An array of so many integers on a GPU as kernels take it; None for anything else.

    Those of uint64 are left to the host: as int64 some would be others.
    """
    found = _numbers_there(value, count, "biu")
    if found is None or found.flat is None or found.dtype == np.uint64:
        return None
    return found.flat.view(_read_as(found.dtype, as_bits=False))


def floats_on_gpu(value: Any, count: int) -> OnGpu | None:
    """An array of so many floats on a GPU that kernels can read; None for anything else."""
    return _numbers_there(value, count, "f")


def _numbers_there(value: Any, count: int, kinds: str) -> OnGpu | None:
    if isinstance(value, np.ndarray | list | tuple) or getattr(value, "requires_grad", False):
        return None
    found = interop.read(value)
    if found is None or found.shape != (count,) or found.dtype.kind not in kinds:
        return None
    return None if found.flat is None else found


def elements_on_gpu(work: Any, given: Input, *, as_bits: bool = False) -> Any:
    """All elements of an argument on the GPU in use, as `flat_elements` has them.

    Those of the host are copied, as are those on a GPU that kernels cannot read.
    """
    flat = given.held.flat if isinstance(given.held, OnGpu) else None
    if flat is None:
        return work.copied(flat_elements(given.array, as_bits=as_bits))
    return flat.view(_read_as(flat.dtype, as_bits))


def result_dtype(*inputs: Input) -> np.dtype[Any]:
    """float32 if all inputs are float16 or float32, else float64, as for masks."""
    for given in inputs:
        held = given.held
        if not isinstance(held, np.ndarray | OnGpu) or held.dtype.kind != "f":
            return FLOAT64
        if held.dtype.itemsize > 4:
            return FLOAT64
    return FLOAT32


def hand_back(result: Array, *inputs: Input) -> Any:
    """The result as an array of the library that the inputs came from."""
    wrapped = [given for given in inputs if given.wrap is not None]
    if not wrapped:
        return result
    check_one_library(*inputs)
    # Where one of them is on a GPU, so is the result.
    first = next((given for given in wrapped if given.gpu is not None), wrapped[0])
    assert first.wrap is not None
    return first.wrap(result)


def check_one_library(*inputs: Input) -> None:
    """Raise a TypeError if the arguments come from two libraries besides NumPy."""
    wrapped = [given for given in inputs if given.wrap is not None]
    for given in wrapped[1:]:
        if given.library != wrapped[0].library:
            raise TypeError(
                f"{wrapped[0].name} is an array of {wrapped[0].library} and {given.name} one of "
                f"{given.library}; pass both from one library"
            )


def output_array(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The argument `out` as a writable NumPy array over the same memory."""
    torch = sys.modules.get("torch")
    if not isinstance(value, np.ndarray) and not (
        torch is not None and isinstance(value, torch.Tensor)
    ):
        raise TypeError(f"out must be a NumPy array or a tensor, got {type(value).__name__}")
    if torch is not None and isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16:
        raise ValueError(f"out must have the dtype {dtype}, got torch.bfloat16")
    array: Array = _as_input("out", value).array
    _check_output(array.shape, array.dtype, shape, dtype)
    if not array.flags.writeable:
        raise ValueError("out must be writable, got a read-only array")
    return array


def gpu_output(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> GpuOutput | None:
    """The argument `out` if it lies on a GPU; None for anything else."""
    if isinstance(value, np.ndarray):
        return None
    output = interop.output(value)
    if output is None:
        return None
    _refuse_gradients("out", value)
    _check_output(output.shape, output.dtype, shape, dtype)
    if not output.contiguous:
        raise ValueError("out must be C-contiguous where it is on a GPU, got another layout")
    return output


def _check_output(
    given_shape: tuple[int, ...],
    given_dtype: np.dtype[Any] | str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> None:
    """Raise a ValueError unless the argument `out` has the shape and dtype of the result."""
    if given_shape != shape or given_dtype != dtype.name:
        raise ValueError(
            f"out must have the shape {shape} and dtype {dtype}, got {given_shape} and "
            f"{described_dtype(given_dtype)}"
        )


# ---- images of labels and of values ------------------------------------------------------------


def label_array(name: str, value: Any) -> Input:
    """An argument of integers or booleans of any shape.

    Raises
    ------
    TypeError
        Anything else, or a tensor that requires grad.
    """
    given = _as_input(name, value)
    array = given.held
    if array.size == 0 and given.wrap is None and not isinstance(value, np.ndarray):
        array = array.astype(np.int64)  # an empty list, whatever its dtype
    if array.dtype.kind not in "biu":
        hint = ""
        if array.dtype.kind == "f":
            hint = (
                "; whole numbers become integers by .astype(int), and scores of classes by "
                ".argmax(axis)"
            )
        raise TypeError(
            f"{name} must hold integers or booleans, got dtype {described_dtype(array.dtype)}{hint}"
        )
    return given._replace(held=array, source=array)


def label_image(name: str, value: Any) -> Input:
    """An argument of labels: as `label_array`, and no colour image (see `check_no_colors`)."""
    given = label_array(name, value)
    check_no_colors(name, given.held)
    return given


def value_array(name: str, value: Any) -> Input:
    """An argument of real numbers of any shape, float16 and bfloat16 as float32, which holds both.

    Raises
    ------
    TypeError
        Anything else, or a tensor that requires grad.
    """
    given = real_input(name, value)
    array = given.held
    if array.dtype.kind == "f" and array.dtype.itemsize == 2:
        is_on_gpu = isinstance(array, OnGpu)
        array = array.as_float32() if is_on_gpu else chunks.copied(array, np.float32)
    return given._replace(held=array, source=array)


def mask_batch(name: str, value: Any) -> Input:
    """An argument of masks, integers or booleans of shape (N, H, W) or (N, 1, H, W), as (N, H, W).

    Raises
    ------
    TypeError
        Floats or anything else, or a tensor that requires grad.
    ValueError
        Another shape.
    """
    given = _as_input(name, value)
    array = given.held
    if array.dtype.kind not in "biu":
        raise TypeError(
            f"{name} must hold booleans or integers, got dtype {described_dtype(array.dtype)}; "
            f"threshold first: {name} > 0.5"
        )
    if not (array.ndim == 3 or (array.ndim == 4 and array.shape[1] == 1)):
        raise ValueError(f"{name} must have the shape (N, H, W) or (N, 1, H, W), got {array.shape}")
    if array.ndim == 4:
        array = array.reshape(array.shape[0], *array.shape[2:])
    return given._replace(held=array)


class _Memory:
    """The elements of a C-contiguous array, as what kernels are compiled for."""

    __slots__ = ("__array_interface__", "_array")

    def __init__(self, array: Array, dtype: np.dtype[Any]) -> None:
        self._array = array
        self.__array_interface__ = {
            "version": 3,
            "shape": (array.size,),
            "typestr": dtype.str,
            "data": (array.ctypes.data, False),
        }


def flat_elements(array: Array, *, as_bits: bool = False) -> Array:
    """All elements in C order, of native bytes, copied only where they do not lie like that.

    Kernels must not write to the result: it is writable in name alone, since a kernel would be
    compiled once more for an array that is read-only, as those of JAX and memory maps are.

    Parameters
    ----------
    as_bits
        Integers of any sign as signed ones of equal size, and booleans as int8, so that a kernel is
        compiled for four types and not for nine.
    """
    native = chunks.copied(array, array.dtype.newbyteorder("="))
    return np.asarray(_Memory(native, _read_as(native.dtype, as_bits)))


def _read_as(dtype: np.dtype[Any], as_bits: bool) -> np.dtype[Any]:
    if as_bits:
        return np.dtype(f"i{dtype.itemsize}")
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


# ---- masks -------------------------------------------------------------------------------------


def mask_array(name: str, value: Any) -> Input:
    """A mask argument: an array of shape (N, H, W), or (H, W) for one mask, of real numbers.

    Raises
    ------
    TypeError
        Not real numbers, or a tensor that requires grad.
    ValueError
        Another shape.
    """
    given = real_input(name, value, any_width=True)
    array = given.array
    if array.shape == (0,):  # an empty list is an empty set of masks
        array = array.reshape(0, 0, 0)
    array = array.reshape(_shape_of_masks(name, array))
    return given._replace(held=array, source=array)


def masks_on_gpu(name: str, value: Any) -> tuple[Input, Any] | None:
    """A mask argument on a GPU that can be used, not copied, and the array (N, H, W) itself.

    None for any other, also for what kernels cannot read. The input's own array is empty.
    """
    given = None if isinstance(value, np.ndarray) else _from_gpu(name, value)
    if given is None or interop.problem() is not None:
        return None
    masks = given.held.in_shape(_shape_of_masks(name, given.held))
    if masks is None:
        return None
    none = np.empty(0)
    return given._replace(held=none, source=none), masks


def _shape_of_masks(name: str, array: Any) -> tuple[int, ...]:
    """A shape (N, H, W) for a mask argument, which may be of one mask."""
    shape: tuple[int, ...] = array.shape
    if len(shape) == 2 and shape[1] == 4 and array.dtype.kind != "b":
        raise ValueError(
            f"{name} must have the shape (N, H, W), got {shape}, which would be boxes: they are "
            "scored by box_iou, and with boxes; one mask that is 4 wide has shape (1, H, 4)"
        )
    if len(shape) not in (2, 3):
        hint = f"; pass {name}[:, 0]" if len(shape) == 4 and shape[1] == 1 else ""
        raise ValueError(f"{name} must have the shape (N, H, W) or (H, W), got {shape}{hint}")
    return shape if len(shape) == 3 else (1, *shape)
