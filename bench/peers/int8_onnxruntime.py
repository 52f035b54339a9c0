"""onnxruntime on a QDQ file: float32 pixels in host memory to logits in host memory, for bench/int8.js."""
import json
import sys
import time

import numpy
import onnxruntime

file, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
(image,) = session.get_inputs()
count = batch * 3 * 224 * 224
pixels = numpy.sin(0.7 * numpy.arange(count)).astype("float32").reshape(batch, 3, 224, 224)
print(json.dumps({"type": "hello", "versions": {"onnxruntime": onnxruntime.__version__}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "end":
        print(json.dumps({"type": "ended"}), flush=True)
        break
    start = time.perf_counter()
    for _ in range(request["repeats"]):
        session.run(None, {image.name: pixels})
    seconds = (time.perf_counter() - start) / request["repeats"]
    print(json.dumps({"type": "sample", "seconds": seconds}), flush=True)
