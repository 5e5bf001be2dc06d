"""A stand-in for CuPy that runs the CUDA kernels on the host.

The kernels' own source is compiled by the C++ compiler (cuda_on_host.h gives it thread and block indices, barriers and
atomics) and run over whole grids. Streams are queues whose work is done as late as their rules allow: a copy or kernel
runs only when somebody waits for it, so that a wait that is missing gives wrong numbers here, too. Memory is handed out
like CuPy's pool does, at once to the stream that freed it, and is full of nonsense when it is; what lies around an
array is checked. There may be several devices: a kernel, or an operation on arrays, that is begun on one with memory of
another is refused, and only copies that are asked for go from one to another.

Only what gpures asks of CuPy is here, under CuPy's names.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import os
import re
import subprocess
import sysconfig
import tempfile
import threading
import types
import weakref
from collections import deque
from pathlib import Path

import numpy as np

# Options of CUDA's compiler, as the C++ compiler has them.
AS_HERE = {"-fmad=false": "-ffp-contract=off"}

SHIM = Path(__file__).with_suffix(".h")

NONSENSE = 0xAB  # as a float64 -1e-103, as a float32 -1e-12
GUARD = 256  # bytes kept free on either side of an array

KERNEL = re.compile(r'extern "C"\s+__global__\s+void\s+(?:__launch_bounds__\([^;{]*?\)\s+)?(\w+)\(')


class OutOfMemoryError(MemoryError):
    """As CuPy raises it."""


class CUDARuntimeError(RuntimeError):
    """As CuPy raises it; its text begins with the error's name."""


class CompileException(Exception):  # noqa: N818  (CuPy's name)
    """As CuPy raises it."""


class Stream:
    """Work in order, done when somebody waits for it."""

    def __init__(self, cuda: HostCUDA, device: int):
        self._cuda = cuda
        self.device_id = device
        self.ptr = id(self)
        self._work: deque = deque()
        self._begun = 0  # number of the last work handed in
        self._done = 0
        self._is_destroyed = False

    def __del__(self):
        # As CuPy's does. Of a cycle that is garbage it may come before those of the objects that use it.
        self._is_destroyed = True

    def enqueue(self, work) -> int:
        """Hand in work, a function; its number."""
        if self._is_destroyed:
            raise CUDARuntimeError("cudaErrorContextIsDestroyed: context is destroyed")
        with self._cuda.lock:
            self._cuda.check_current(self.device_id)
            self._work.append(work)
            self._begun += 1
            return self._begun

    def advance(self, number: int) -> None:
        """Do the work up to a number."""
        with self._cuda.lock:
            while self._done < number:
                self._done += 1
                self._work.popleft()()

    def synchronize(self) -> None:
        """Do all work, and report what failed."""
        self.advance(self._begun)
        self._cuda.check_memory()
        self._cuda.report()

    def wait_event(self, event: Event) -> None:
        """Have later work wait for an event."""
        recorded = event.recorded  # as of now
        if recorded is not None:
            self.enqueue(lambda: recorded[0].advance(recorded[1]))

    def record(self) -> Event:
        """An event after the work so far."""
        event = Event()
        event.record(self)
        return event

    def __enter__(self):
        self._cuda.streams().append(self)
        return self

    def __exit__(self, *error):
        assert self._cuda.streams().pop() is self


class Event:
    """A place in a stream."""

    def __init__(self, disable_timing=False):
        self.recorded = None

    def record(self, stream: Stream) -> None:
        """Put it at the end of a stream."""
        self.recorded = stream, stream.enqueue(lambda: None)

    def synchronize(self) -> None:
        """Do the work before it."""
        if self.recorded is not None:
            self.recorded[0].advance(self.recorded[1])


class Block:
    """A piece of device memory with guards around it."""

    def __init__(self, size: int, device: int):
        self.size, self.device = size, device
        self.used = 0  # bytes that its owner has asked for
        self.bytes = np.full(size + 2 * GUARD + 256, NONSENSE, np.uint8)
        self.ptr = self.bytes.ctypes.data + GUARD
        self.ptr += -self.ptr % 256

    def check(self) -> None:
        """Fail if something was written beside it."""
        start = self.ptr - self.bytes.ctypes.data
        guards = self.bytes[:start], self.bytes[start + self.size :]
        assert all(np.all(guard == NONSENSE) for guard in guards), "a kernel wrote beside an array"


def readable(host: np.ndarray) -> np.ndarray:
    """An array itself, if a kernel of CuPy's could read it: elsewhere than at multiples of its size it fails."""
    if any(place % host.itemsize for place in (host.ctypes.data, *host.strides)):
        raise CUDARuntimeError("cudaErrorMisalignedAddress: misaligned address")
    return host


def as_kernels_have_it(host: np.ndarray) -> np.ndarray:
    """What CuPy's own kernels make of numbers that they read or write: it has float32's subnormal ones flushed."""
    if host.dtype != np.float32:
        return host
    return np.where(np.abs(host) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), host), host)


class HostArray:
    """A device array. What numpy would do with it by itself fails, as it does with CuPy's."""

    def __init__(self, cuda: HostCUDA | tuple, host: np.ndarray | type, owner, strides=None):
        if isinstance(cuda, tuple):  # as CuPy's is made: shape, type, memory of another, strides
            of = owner.of()
            first = np.ndarray(1, host, (ctypes.c_ubyte * np.dtype(host).itemsize).from_address(owner.ptr))
            host, cuda, owner = np.lib.stride_tricks.as_strided(first, cuda, strides), of._cuda, of._owner
        self._cuda, self._host, self._owner = cuda, host, owner
        self.device = types.SimpleNamespace(id=owner.block.device)
        self.data = types.SimpleNamespace(ptr=host.ctypes.data, of=weakref.ref(self))
        self.shape, self.dtype, self.strides = host.shape, host.dtype, host.strides
        self.size, self.nbytes, self.ndim = host.size, host.nbytes, host.ndim

    __array_priority__ = 100

    @property
    def __cuda_array_interface__(self):
        return self._host.__array_interface__ | {"version": 3}

    def __array__(self, *arguments, **keywords):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __len__(self):
        return len(self._host)

    def __getitem__(self, key):
        return HostArray(self._cuda, self._host[key], self._owner)

    def __setitem__(self, key, value):
        self._cuda.check_here(self, value)
        to, source = self._host[key], value._host if isinstance(value, HostArray) else np.array(value)
        if source.ndim and not isinstance(value, HostArray):
            raise TypeError("Implicit conversion to a NumPy array is not allowed.")
        self._cuda.current_stream().enqueue(lambda: np.copyto(to, source))

    def get(self):
        """A copy on the host, after the current stream's work."""
        with self._cuda.cuda.Device(self.device.id):
            self._cuda.current_stream().synchronize()
        return self._host.copy()

    def _of(self, function, *others):
        self._cuda.check_here(self, *others)
        host = readable(self._host)
        result = self._cuda.empty(host.shape, function(host[:0]).dtype)
        to = result._host
        self._cuda.current_stream().enqueue(lambda: np.copyto(to, function(host)))
        return result

    def astype(self, dtype, copy=True):
        """As numpy's, but for what CuPy flushes."""
        if self.dtype == dtype:
            return self.copy() if copy else self
        return self._of(lambda host: as_kernels_have_it(as_kernels_have_it(host).astype(dtype)))

    def copy(self):
        """As numpy's; on the current device."""
        return self._cuda.array(self)

    def fill(self, value):
        """As numpy's."""
        self._cuda.check_here(self)
        to = self._host
        self._cuda.current_stream().enqueue(lambda: to.fill(value))

    def view(self, dtype):
        """As numpy's."""
        return HostArray(self._cuda, self._host.view(dtype), self._owner)

    def reshape(self, *shape):
        """As numpy's."""
        return HostArray(self._cuda, self._host.reshape(*shape), self._owner)

    __hash__ = object.__hash__

    def __ne__(self, other):
        value = other._host if isinstance(other, HostArray) else other
        return self._of(lambda host: host != value, other)

    def __gt__(self, other):
        return self._of(lambda host: host > other)

    def any(self, axis=None):
        """As numpy's."""
        self._cuda.current_stream().synchronize()
        return self._cuda.array(self._host.any(axis))

    def __bool__(self):
        self._cuda.current_stream().synchronize()
        return bool(self._host)

    def __truediv__(self, other):
        return self._of(lambda host: as_kernels_have_it(as_kernels_have_it(host) / other))

    def min(self):
        """Smallest element."""
        return self._host.min()

    def max(self):
        """Largest element."""
        return self._host.max()


class Owner:
    """Gives its block back to the pool when the last array in it is gone."""

    def __init__(self, cuda: HostCUDA, block: Block, stream: Stream):
        self.block = block
        weakref.finalize(self, cuda.give_back, block, stream)


class RawModule:
    """Kernels compiled by the C++ compiler."""

    def __init__(self, cuda: HostCUDA, code: str, options: tuple):
        self._cuda = cuda
        defined = dict(option[2:].partition("=")[::2] for option in options if option.startswith("-D"))
        self._names = [defined.get(name, name) for name in KERNEL.findall(code)]
        self._library = ctypes.PyDLL(str(compiled(code, options, self._names)))

    def get_function(self, name: str):
        """A kernel, on the current device."""
        device = self._cuda.cuda.runtime.getDevice()
        if name not in self._names:
            raise CUDARuntimeError(f"cudaErrorSymbolNotFound: {name}")
        launch = getattr(self._library, f"launch_{name}")
        launch.restype = ctypes.c_char_p
        launch.argtypes = [ctypes.c_void_p] * 3

        def kernel(grid, block, arguments):
            self._cuda.check_current(device)
            self._cuda.check_launch(name, grid, block)
            # By value, as of now.
            values = [np.array(a.data.ptr, np.uint64) if isinstance(a, HostArray) else np.array(a) for a in arguments]
            assert all(value.size == 1 for value in values)
            sizes = [np.array((*size, 1, 1)[:3], np.uint32) for size in (grid, block)]
            addresses = np.array([value.ctypes.data for value in values], np.uint64)

            for value in values:
                self._cuda.check_addresses(name, value)
            lists = [a for a in arguments if isinstance(a, HostArray) and a.dtype == np.uint64]

            def work():
                with self._cuda.cuda.Device(device):
                    for addresses_there in lists:
                        self._cuda.check_addresses(name, addresses_there._host)
                if (seed := self._cuda.order()) is not None:
                    self._library.draw_orders(ctypes.c_uint64(seed))
                problem = launch(sizes[0].ctypes.data, sizes[1].ctypes.data, addresses.ctypes.data)
                assert problem is None, problem
                assert values is not None  # alive until now
                self._cuda.fail_if_asked(name)

            self._cuda.current_stream().enqueue(work)

        return kernel


def compiled(code: str, options: tuple, names: list[str]) -> Path:
    """Shared library of a .cu file, made once for each source and options."""
    launchers = "".join(
        f'extern "C" SHOWN const char* launch_{name}(const unsigned* grid, const unsigned* block, void** arguments)'
        f"{{ return cuda_on_host::launch({name}, grid, block, arguments); }}\n"
        for name in names
    )
    compiler = os.environ.get("CXX") or (sysconfig.get_config_var("CXX") or "c++").split()[0]
    # As tests/sanitizers.py has it.
    sanitize = os.environ.get("GPURES_HOST_SANITIZE")
    if sanitize:
        options = (*options, f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1")
    text = f'#include "{SHIM}"\n{code}\n{launchers}'
    key = hashlib.sha256("\0".join((compiler, SHIM.read_text(), text, *options)).encode()).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"gpures-cuda-on-host-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    library = folder / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as own:
            source, made = Path(own, "kernels.cpp"), Path(own, "kernels.so")
            source.write_text(text)
            flags = [AS_HERE.get(option, option) for option in options]
            # Hidden: two files may have shared memory of one name, of different sizes.
            flags += ["-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-w"]
            command = [compiler, *flags, str(source), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise CompileException(done.stderr)
            made.rename(library)
    return library


class HostCUDA(types.ModuleType):
    """The stand-in for the module `cupy`.

    Attributes
    ----------
    memory : int
        Bytes of each device.
    used : dict
        Bytes in use, by device.
    capability : (int, int)
        Compute capability of the devices.
    module : type
        What makes kernels of a source, see `RawModule`.
    failures : dict
        Names of functions, or kernels, to the error that the next call of them raises.
    shuffles : bool
        Whether blocks, and the threads of each, come in an order that is drawn, another one for each launch.
    """

    def __init__(
        self,
        devices: int = 1,
        memory: int = 1 << 30,
        capability: tuple[int, int] = (9, 0),
        module: type = RawModule,
        shuffles: bool = False,
    ):
        super().__init__("cupy")
        self.__spec__ = types.SimpleNamespace(name="cupy")
        self.__version__ = "host"
        self.devices, self.memory, self.capability, self._module = devices, memory, capability, module
        self._orders = itertools.count(1) if shuffles else itertools.repeat(None)
        self.used = dict.fromkeys(range(devices), 0)
        self.highest = 0
        self.failures: dict[str, Exception] = {}
        self.lock = threading.RLock()
        self._local = threading.local()
        self._blocks: weakref.WeakSet[Block] = weakref.WeakSet()
        self._free: dict[int, list[Block]] = {}
        self._failed: Exception | None = None
        self._of_pointer: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
        self._pinned_at: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
        self._null = {number: Stream(self, number) for number in range(devices)}
        self.ndarray = HostArray
        self.cuda = types.SimpleNamespace(
            Device=self._device,
            Stream=self._new_stream,
            Event=Event,
            get_current_stream=self.current_stream,
            alloc_pinned_memory=self._pinned,
            runtime=types.SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError,
                getDeviceCount=self._count,
                getDevice=lambda: self._current()[-1],
                getDeviceProperties=self._properties,
                runtimeGetVersion=lambda: 13000,
                driverGetVersion=lambda: 13000,
                memGetInfo=self._memory_info,
                memcpyAsync=self._copy,
                memcpyHostToDevice=1,
                memcpyDeviceToHost=2,
            ),
        )

    # ---- state of a thread -------------------------------------------------------------------------------------

    def _current(self) -> list[int]:
        if not hasattr(self._local, "devices"):
            self._local.devices = [0]
        return self._local.devices

    def streams(self) -> list[Stream]:
        """Streams that this thread has entered."""
        if not hasattr(self._local, "streams"):
            self._local.streams = []
        return self._local.streams

    def current_stream(self) -> Stream:
        """The one entered last, on the current device."""
        of_device = [stream for stream in self.streams() if stream.device_id == self._current()[-1]]
        return of_device[-1] if of_device else self._null[self._current()[-1]]

    @contextlib.contextmanager
    def _device(self, number: int):
        self._current().append(number)
        try:
            yield
        finally:
            self._current().pop()

    def check_current(self, device: int) -> None:
        """Fail, as CUDA does, where a stream of another device is used."""
        if self._current()[-1] != device:
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")

    def check_here(self, *arrays) -> None:
        """Fail, as CuPy does where it can't reach it, if an array is on another device than the current one."""
        here = self._current()[-1]
        for array in arrays:
            if isinstance(array, HostArray) and array.device.id != here:
                raise ValueError(
                    f"Array device must be same as the current device: array device = {array.device.id} while "
                    f"current = {here}"
                )

    def check_addresses(self, name: str, values: np.ndarray) -> None:
        """Fail if a kernel on the current device gets an address of another device's memory, in a struct or a list."""
        here = self._current()[-1]
        found = np.frombuffer(values.tobytes()[: values.nbytes // 8 * 8], np.uint64)
        for block in list(self._blocks):
            if block.device != here and ((found >= block.ptr) & (found < block.ptr + block.size)).any():
                raise CUDARuntimeError(
                    f"cudaErrorIllegalAddress: {name}, on device {here}, gets memory of device {block.device}"
                )

    def order(self) -> int | None:
        """What the order of the next launch is drawn with, if it is."""
        return next(self._orders)

    # ---- failures ----------------------------------------------------------------------------------------------

    def fail_if_asked(self, name: str) -> None:
        """Have a kernel's error stick, as an asynchronous one does."""
        if name in self.failures:
            self._failed = self.failures[name]

    def report(self) -> None:
        """Raise what has stuck."""
        if self._failed is not None:
            # One of its own: an error holds the frames that it went through.
            raise type(self._failed)(*self._failed.args)

    def _fail(self, name: str) -> None:
        self.report()
        if name in self.failures:
            raise type(self.failures[name])(*self.failures[name].args)

    def check_launch(self, name: str, grid: tuple, block: tuple) -> None:
        """What a launch is refused for."""
        self._fail("launch")
        assert all(n >= 1 for n in (*grid, *block)), f"{name}: a grid of {grid} blocks of {block}"
        assert np.prod(block) <= 1024
        assert all(n <= 65535 for n in grid[1:])

    # ---- devices, memory ---------------------------------------------------------------------------------------

    def _count(self) -> int:
        self._fail("getDeviceCount")
        return self.devices

    def _properties(self, number: int) -> dict:
        return {"name": b"Host", "major": self.capability[0], "minor": self.capability[1]}

    def _memory_info(self) -> tuple[int, int]:
        device = self._current()[-1]
        return self.memory - self.used[device] - self.free_bytes(), self.memory

    def get_default_memory_pool(self) -> HostCUDA:
        """The pool of the current device."""
        return self

    def free_bytes(self) -> int:
        """Bytes in the pool."""
        device = self._current()[-1]
        return sum(b.size for blocks in self._free.values() for b in blocks if b.device == device)

    def _new_stream(self, non_blocking: bool = False) -> Stream:
        stream = Stream(self, self._current()[-1])
        self._of_pointer[stream.ptr] = stream
        return stream

    def _pinned(self, size: int):
        self._fail("alloc_pinned_memory")

        class Pinned(np.ndarray):
            ptr = property(lambda self: self.ctypes.data)

        memory = np.full(size, NONSENSE, np.uint8).view(Pinned)
        self._pinned_at[memory.ptr] = memory
        return memory

    def _allocate(self, size: int) -> Owner:
        self._fail("allocate")
        wanted, size = size, -(-max(size, 1) // 512) * 512
        with self.lock:
            stream = self.current_stream()
            pool = self._free.setdefault(stream.ptr, [])
            block = next((b for b in pool if b.size == size), None)
            if block is not None:
                pool.remove(block)
                start = block.ptr - block.bytes.ctypes.data
                nonsense = block.bytes[start : start + block.size]
                stream.enqueue(lambda: nonsense.fill(NONSENSE))  # as its new owner may write to it
            else:
                if size > self._memory_info()[0]:
                    self._free.clear()
                if size > self._memory_info()[0]:
                    raise OutOfMemoryError(f"Out of memory allocating {size} bytes.")
                block = Block(size, stream.device_id)
                self._blocks.add(block)
            block.used = wanted
            self.used[stream.device_id] += size
            self.highest = max(self.highest, self.used[stream.device_id])
            return Owner(self, block, stream)

    def give_back(self, block: Block, stream: Stream) -> None:
        """To the stream that it was allocated on, where it may have another owner at once."""
        with self.lock:
            block.used = 0
            self.used[block.device] -= block.size
            self._free.setdefault(stream.ptr, []).append(block)

    def memory_in_use(self) -> list[tuple[int, int]]:
        """Where each piece that somebody has begins and ends."""
        with self.lock:
            return [(block.ptr, block.ptr + block.used) for block in list(self._blocks) if block.used]

    def check_memory(self) -> None:
        """Fail if something was written beside an array."""
        for block in list(self._blocks):
            block.check()

    def _copy(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        self._fail("memcpyAsync")
        pinned = self._pinned_at.get(to if kind == self.cuda.runtime.memcpyDeviceToHost else source)
        alive = (lambda: True) if pinned is None else weakref.ref(pinned)

        def copy() -> None:
            assert alive() is not None, "Pinned memory was given up before it was copied from, or to."
            ctypes.memmove(to, source, size)

        self._of_pointer[stream].enqueue(copy)

    # ---- arrays ------------------------------------------------------------------------------------------------

    def empty(self, shape, dtype) -> HostArray:
        """As numpy's."""
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        dtype = np.dtype(dtype)
        owner = self._allocate(int(np.prod(shape)) * dtype.itemsize)
        start = owner.block.ptr - owner.block.bytes.ctypes.data
        return HostArray(self, np.ndarray(shape, dtype, buffer=owner.block.bytes, offset=start), owner)

    def zeros(self, shape, dtype) -> HostArray:
        """As numpy's."""
        array = self.empty(shape, dtype)
        to = array._host
        self.current_stream().enqueue(lambda: to.fill(0))
        return array

    def array(self, values, dtype=None) -> HostArray:
        """As numpy's; from the host or another device."""
        if isinstance(values, HostArray) and values.device.id != self._current()[-1]:
            # CuPy's current stream there, for which nobody waits, makes it contiguous first.
            with self._device(values.device.id):
                values = values if values._host.flags.c_contiguous else values._of(np.copy)
        host = readable(values._host) if isinstance(values, HostArray) else np.asarray(values)
        array = self.empty(host.shape, dtype or host.dtype)
        to = array._host
        self.current_stream().enqueue(lambda: np.copyto(to, host))
        return array

    def asarray(self, values) -> HostArray:
        """As numpy's."""
        is_here = isinstance(values, HostArray) and values.device.id == self._current()[-1]
        return values if is_here else self.array(values)

    def ascontiguousarray(self, values: HostArray, dtype=None) -> HostArray:
        """As numpy's."""
        is_copied = not values._host.flags.c_contiguous
        if is_copied:
            self.check_here(values)
        return values.astype(dtype or values.dtype, copy=is_copied)

    def RawModule(self, code: str, options: tuple = ()):  # noqa: N802  (CuPy's name)
        """Kernels of a source."""
        self._fail("RawModule")
        return self._module(self, code, options)
