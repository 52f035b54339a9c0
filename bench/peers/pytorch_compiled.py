"""PyTorch with torch.compile(mode="max-autotune"): channels_last, bf16, fused optimizer, training and inference."""
from torch_peer import Style, main

if __name__ == "__main__":
    main(Style(precisions=("fp32", "bf16"), channels_last=True, decode_once=True, freezing=True, compiled=True, mode="max-autotune"))
