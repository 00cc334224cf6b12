"""Times numpy's OpenBLAS on the float32 matmuls of workloads.json, by the protocol of torch_bench.py --serve.

Usage: openblas_bench.py --serve --workloads FILE --threads N
Names come on standard input, one per line, and each line times one call, into memory that is already allocated:
{"name", "seconds", "best", "check": {"out": L2 norm, "grads": []}}. Ends with a message if numpy has another BLAS.
"""
import argparse, json, os, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--serve", action="store_true", required=True)
parser.add_argument("--workloads", required=True)
parser.add_argument("--threads", type=int, default=2)
arguments = parser.parse_args()
os.environ["OPENBLAS_NUM_THREADS"] = str(arguments.threads)  # numpy reads it when it loads OpenBLAS
# By default its threads spin for 2^26 cycles after a product, into the others' turns. 2^20 are less than the pause.
os.environ["OPENBLAS_THREAD_TIMEOUT"] = "20"

try:
    import numpy as np
except ImportError:
    sys.exit("there is no numpy")
blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
if "openblas" not in blas:
    sys.exit(f"numpy has {blas}, not OpenBLAS")


def floats(n, *shape):
    """Tensor number n, made as by torch_bench.py."""
    with np.errstate(over="ignore"):
        h = np.arange(np.prod(shape), dtype=np.uint32) + np.uint32(n * 0x9E3779B9 & 0xFFFFFFFF)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            h ^= h >> np.uint32(shift)
            h *= np.uint32(factor)
    return ((h >> np.uint32(8)) / 2**23 - 1).astype(np.float32).reshape(shape)


with open(arguments.workloads) as file:
    workloads = {w["name"]: w for w in json.load(file)}
name = None
for line in sys.stdin:
    if line.strip() != name:
        name = line.strip()
        w = workloads[name]
        a, b = floats(1, w["m"], w["k"]), floats(2, w["k"], w["n"])
        out = a @ b
        check = {"out": float(np.linalg.norm(out.astype(np.float64))), "grads": []}
        np.matmul(a, b, out=out)
    start = time.perf_counter()
    np.matmul(a, b, out=out)
    seconds = time.perf_counter() - start
    print(json.dumps({"name": name, "seconds": seconds, "best": seconds, "check": check}), flush=True)
