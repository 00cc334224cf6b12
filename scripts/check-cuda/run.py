"""Checks and times the library on this machine's GPU, with what scripts/check-cuda.ts has packed beside this file.

Needs Python 3.8 and a driver; takes PyTorch for the comparison and compute-sanitizer for its checks where they are there, and says
so where not. Every part has its own limit, so that the whole takes less than ten minutes. Writes results/cuda-<gpu>.json, and
results/cuda-<gpu>.md to read. Exit code 1 if a part fails.

Usage: python3 run.py [--sizes small|medium|large] [--seconds SECONDS] [--as NAME] [--slower FACTOR] [--only PART,PART]
  --sizes    of the bench; default large
  --seconds  for each workload of the bench; default 3
  --as       a GPU by its data sheet, where the driver's name is not in the list
  --slower   multiplies the limits of all parts, for a machine that does other work too; default 1
  --only     parts: goldens, kernels, cases, products, tensors, sanitizer, bench, torch
FIRESTEEL_CUDA_DRIVER names another driver library, such as the emulated one.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
node = os.path.join(here, "node")
results = os.path.join(here, "results")

# The part, the seconds that it may take, the program with its arguments, and its environment.
checks = [
    ("goldens", 60, ["tests/goldens/main.js"], {"FIRESTEEL_TEST_DEVICES": "cuda"}),
    ("kernels", 45, ["tests/cuda/kernels.js"], {}),
    ("cases", 60, ["tests/cuda/cases.js"], {}),
    ("products", 45, ["tests/cuda/products.js"], {}),
    ("tensors", 30, ["tests/cuda/tensors.js"], {}),
]
sanitizer_tools = [("memcheck", 45), ("racecheck", 45)]
bench_seconds, torch_seconds = 90, 150


def run(command, limit, environment=None):
    """Exit code, the text of both streams, and seconds; 124 after the limit."""
    started = time.monotonic()
    # The output goes to a file, because a pipe that nobody reads would block the writer.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=here,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = 124
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return code, text, time.monotonic() - started


slower = 1.0


def record(name, limit, command, environment=None):
    code, text, seconds = run(command, limit * slower, environment)
    state = "passed" if code == 0 else "cut off" if code == 124 else "failed"
    lines = text.strip().splitlines()
    telling = [line for line in lines if code != 0 and re.search(r"Error|FAILED", line)] or lines
    print(f"{name}: {state}, {seconds:.1f} s{': ' + telling[-1] if telling else ''}", flush=True)
    # The whole output of failed parts is kept, because nobody may come back to this machine.
    return {"part": name, "state": state, "seconds": round(seconds, 2), "said": lines[-1:] if code == 0 else [*lines[-80:], telling[-1] if telling else ""]}


def skipped(name, why):
    print(f"{name}: skipped: {why}", flush=True)
    return {"part": name, "state": "skipped", "seconds": 0, "said": [why]}


def sanitize(parts):
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not os.path.exists(tool):
        return parts.append(skipped("sanitizer", "there is no compute-sanitizer on this machine"))
    for name, limit in sanitizer_tools:
        command = [tool, "--tool", name, "--error-exitcode", "9", node, "tests/cuda/cases.js"]
        # As under the emulator's checker, only the smaller cases run, and fewer of them.
        parts.append(record(f"sanitizer {name}", limit, command, {"FIRESTEEL_EMULATOR_CHECK": "1"}))


def cell(value):
    return "" if value is None else f"{value:.4g}" if isinstance(value, (int, float)) else str(value)


def ratio(a, b):
    return None if a is None or not b else a / b


def page(content):
    rows = [
        "| workload | predicted ms | limit | measured ms | launches | share of the prediction | torch eager ms | torch compiled ms | eager / ours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in content["workloads"]:
        predicted = entry["predicted"] or {}
        cells = [entry["name"], predicted.get("milliseconds"), predicted.get("limit"), entry["measured"], entry.get("launches")]
        cells += [ratio(predicted.get("milliseconds"), entry["measured"]), entry.get("eager"), entry.get("compiled")]
        cells.append(ratio(entry.get("eager"), entry["measured"]))
        rows.append(f"| {' | '.join(cell(value) for value in cells)} |")
    parts = [f"| {p['part']} | {p['state']} | {p['seconds']} | {' '.join(p['said'][-1:]).replace('|', '/')} |" for p in content["parts"]]
    losses = [
        f"- {each['workload']}: {each['why'] or 'largest difference ' + cell(each['difference'])} over {each['steps']} steps"
        for each in content["losses"]
    ]
    why = [f"- {e['name']}: {e[key]}" for e in content["workloads"] for key in ("why", "eager_why", "compiled_why") if e.get(key)]
    return "\n".join(
        [f"# {content['device']}", "", "| part | state | seconds | said |", "|---|---|---|---|", *parts]
        + ["", "Losses on the GPU and on the CPU:", "", *losses, "", *rows, "", *why, ""]
        + [
            "Predicted: each kernel at the data sheet's peak or bandwidth, and 4 us at least. Ours: medians of samples that wait for",
            "the device once; PyTorch: medians between CUDA events, float32 without tf32.",
            "",
        ]
    )


def save(content, path):
    with open(path + ".json", "w") as file:
        json.dump(content, file, indent=2)
    with open(path + ".md", "w") as file:
        file.write(page(content))


def main():
    parser = argparse.ArgumentParser(add_help=True)
    parser.add_argument("--sizes", choices=["small", "medium", "large"], default="large")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--as", dest="named", default=None)
    parser.add_argument("--slower", type=float, default=1)
    parser.add_argument("--only", default=None)
    options = parser.parse_args()
    global slower
    slower = options.slower
    known = [name for name, *_ in checks] + ["sanitizer", "bench", "torch"]
    wanted = known if options.only is None else options.only.split(",")
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(known)}")
    os.makedirs(results, exist_ok=True)
    parts = []
    for name, limit, program, environment in checks:
        if name in wanted:
            parts.append(record(name, limit, [node, *program], environment))
    if "sanitizer" in wanted:
        sanitize(parts)
    content = {"device": "no bench was run", "losses": [], "workloads": []}
    raw = os.path.join(results, "bench.json")
    if os.path.exists(raw):
        os.remove(raw)
    if "bench" in wanted:
        command = [node, "bench/cuda-process.js", raw, options.sizes, str(options.seconds)]
        parts.append(record("bench", bench_seconds, command + ([options.named] if options.named else [])))
    if "torch" in wanted:
        has_torch = run([sys.executable, "-c", "import torch; assert torch.cuda.is_available()"], 60)[0] == 0
        if not os.path.exists(raw):
            parts.append(skipped("torch", "the bench has written no workloads"))
        elif not has_torch:
            parts.append(skipped("torch", "this Python has no PyTorch that finds a GPU"))
        else:
            parts.append(record("torch", torch_seconds, [sys.executable, "torch_cuda.py", raw, str(options.seconds / 2)]))
    if os.path.exists(raw):
        with open(raw) as file:
            content = json.load(file)
    content["parts"] = parts
    name = re.sub(r"[^a-z0-9]+", "-", re.sub(r"^CUDA kernels: ", "", content["device"]).lower()).strip("-")
    path = os.path.join(results, f"cuda-{name}")
    save(content, path)
    print(f"{path}.json and .md")
    return 1 if any(part["state"] in ("failed", "cut off") for part in parts) else 0


if __name__ == "__main__":
    sys.exit(main())
