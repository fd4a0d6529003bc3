"""What this machine's processor can run."""


def runs_bfloat16():
    """Whether oneDNN convolves in bfloat16 here: x86-64 has it with AVX-512 (BW, VL, DQ) or AVX-NE-CONVERT.
    Without, an archive in bfloat16 can be neither traced nor checked, so exporters leave it out. A server
    takes it on processors with AMX alone, and float32 elsewhere."""
    import torch

    return torch.ops.mkldnn._is_mkldnn_bf16_supported()
