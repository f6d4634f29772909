# SPDX-License-Identifier: Apache-2.0
"""What there is of devices, and how they compute, by MindSpore 2.x's names.

>>> import rutile
>>> rutile.device_context.gpu.op_precision.matmul_allow_tf32(True)
>>> rutile.device_context.gpu.op_precision.matmul_allow_tf32(False)
>>> rutile.device_context.cpu.is_available()
True
"""

from rutile import _rutile, context as _context

__all__ = ["cpu", "gpu"]

_errors = _rutile.errors


class GpuPrecision:
    """Of float32 on GPUs."""

    @staticmethod
    def matmul_allow_tf32(value):
        """Whether products of float32 may round their factors to TF32 (10 bits of fraction); at first they may not."""
        _context._use_gpu_config({"matmul_allow_tf32": value})

    @staticmethod
    def conv_allow_tf32(value):
        """The same of convolutions."""
        _context._use_gpu_config({"conv_allow_tf32": value})


class GpuTuning:
    """How the kernel of a convolution is chosen."""

    @staticmethod
    def conv_fprop_algo(mode):
        """ "performance" times what cuDNN offers when a shape is first met, forward and backward; "normal" does not."""
        _context._use_gpu_config({"conv_fprop_algo": mode})

    conv_dgrad_algo = conv_wgrad_algo = conv_fprop_algo


class Gpu:
    """NVIDIA GPUs."""

    op_precision, op_tuning = GpuPrecision, GpuTuning

    @staticmethod
    def device_count():
        """How many there are; 0 where they cannot be used."""
        return _rutile._device_count("cuda")

    @staticmethod
    def is_available():
        """Whether there is one that can be used. set_context(device_target="GPU") says what is missing."""
        return _rutile._device_count("cuda") > 0


class CpuTuning:
    """Of the processor."""

    @staticmethod
    def threads_num(num):
        """How many threads compute."""
        if isinstance(num, bool) or not isinstance(num, int):
            raise _errors.TypeError(f"threads_num takes a whole number, got {type(num).__name__}")
        _rutile.set_num_threads(num)


class Cpu:
    """The processor."""

    op_tuning = CpuTuning

    @staticmethod
    def device_count():
        """1."""
        return 1

    @staticmethod
    def is_available():
        """True."""
        return True


cpu, gpu = Cpu, Gpu
