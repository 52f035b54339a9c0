"""PyTorch as people write it: NCHW, float32, a DataLoader that decodes every epoch, the frozen backbone run every step."""
from torch_peer import Style, main

if __name__ == "__main__":
    main(Style(precisions=("fp32",)))
