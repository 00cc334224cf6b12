"""Trains a few steps of one workload with PyTorch, and prints the bytes by which the process grew: {"growth"}.

Usage: torch_memory.py TORCH_BENCH WORKLOADS NAME THREADS     (as memory-process.ts does it with Firesteel)
"""
import gc, importlib.util, io, json, re, sys

script, workloads, name, threads = sys.argv[1:]
steps = 5


def resident(field):
    with open("/proc/self/status") as status:
        return int(re.search(rf"{field}:\s+(\d+) kB", status.read())[1]) * 1024


# The program runs when it is loaded. With nothing to serve, it only sets the threads.
sys.argv = [script, "--serve", "--threads", threads, "--workloads", workloads]
sys.stdin = io.StringIO()
spec = importlib.util.spec_from_file_location("torch_bench", script)
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)

with open(workloads) as file:
    workload = next(w for w in json.load(file) if w["name"] == name)
run, _ = bench.build(workload)
gc.collect()
before = resident("VmRSS")
with open("/proc/self/clear_refs", "w") as clear:
    clear.write("5")  # resets VmHWM
for _ in range(steps):
    run()
print(json.dumps({"growth": resident("VmHWM") - before}))
