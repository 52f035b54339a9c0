"""PyTorch at its best without caching features: channels_last, bf16 autocast, fused optimizer, images decoded once,
inference by torch.compile with freezing."""
from torch_peer import Style, main

if __name__ == "__main__":
    main(Style(precisions=("fp32", "bf16"), channels_last=True, decode_once=True, freezing=True))
