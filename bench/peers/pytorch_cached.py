"""PyTorch with the frozen features computed once by hand: BatchNorm folded, channels_last, bf16, decoding alongside."""
from torch_peer import Style, main

if __name__ == "__main__":
    main(Style(precisions=("fp32", "bf16"), channels_last=True, decode_once=True, cache=True))
