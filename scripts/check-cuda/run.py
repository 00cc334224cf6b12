"""Checks and times the library on this machine's GPU, with what scripts/check-cuda.ts has packed beside this file.

Needs Python 3.8 and a driver; takes PyTorch for the comparison and compute-sanitizer for its checks where they are there, and says
so where not. The whole takes less than ten minutes: each part has its own limit, and none runs beyond the common one. Writes
results/cuda-<gpu>.json, and results/cuda-<gpu>.md to read, anew after each part, so that a run that is stopped leaves what
it has. The bench's own file, results/bench.json, is written anew after each workload. Exit code 1 if a part fails.

Usage: python3 run.py [--sizes small|medium|large] [--seconds SECONDS] [--as NAME] [--slower FACTOR] [--only PART,PART]
  --sizes    of the bench; default large
  --seconds  for each workload of the bench; default 2
  --as       a GPU by its data sheet, where the driver's name is not in the list
  --slower   multiplies all limits, for a machine that does other work too; default 1
  --only     some of the parts: goldens, kernels, cases, products, tensors, attention, graph, steps, bench, torch, blocks, head,
             recurrent, ctc, sort, sanitizer
FIRESTEEL_CUDA_DRIVER names another driver library, such as the emulated one.
"""

import argparse
import glob
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
raw = os.path.join(results, "bench.json")

# The part, the seconds that it may take, the program with its arguments, and its environment. What tells most comes first.
checks = [
    ("goldens", 60, ["tests/goldens/main.js"], {"FIRESTEEL_TEST_DEVICES": "cuda"}),
    ("kernels", 45, ["tests/cuda/kernels.js"], {}),
    ("cases", 60, ["tests/cuda/cases.js"], {}),
    ("products", 45, ["tests/cuda/products.js"], {}),
    ("tensors", 30, ["tests/cuda/tensors.js"], {}),
    ("attention", 30, ["tests/cuda/attention.js"], {}),
    ("graph", 20, ["tests/cuda/graph.js"], {}),
    ("steps", 30, ["tests/cuda/graph-steps.js"], {}),
]
later_checks = [
    ("blocks", 20, ["tests/cuda/blocks.js"], {}),
    ("head", 20, ["tests/cuda/head.js"], {}),
    ("recurrent", 20, ["tests/cuda/recurrent.js"], {}),
    ("ctc", 20, ["tests/cuda/ctc.js"], {}),
    ("sort", 20, ["tests/cuda/sort.js"], {}),
]
sanitizer_tools = [("memcheck", 45), ("racecheck", 45)]
bench_seconds, torch_seconds = 120, 180
# All parts together. Ten minutes remain for what starts and ends this program.
all_seconds = 570
# A part that has less than this left is skipped.
least_seconds = 5
kept_bytes = 200_000


class Stopped(Exception):
    """Somebody ends this program."""


# The signal that came, and whether the program waits for a process. Elsewhere the signal is only noted, so that none is lost
# between the start of a process and the wait for it.
stopped_by = None
waits = False


def check_stopped():
    if stopped_by is not None:
        raise Stopped(stopped_by)


def stop(number, _frame):
    global stopped_by
    stopped_by = signal.Signals(number).name
    if waits:
        check_stopped()


def say(text):
    try:
        print(text, flush=True)
    except OSError:  # Nobody reads any more, and the results count.
        pass


def end(process):
    """Kills the process with all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:  # It waits in the driver, and waiting for it would lose the other parts.
        pass


def run(command, limit, environment=None):
    """Exit code, the end of the text of both streams, and seconds; 124 after the limit, 127 if it does not start."""
    global waits
    started = time.monotonic()
    # The output goes to a file, because a pipe that nobody reads would block the writer.
    with tempfile.TemporaryFile(dir=results) as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=here,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return 127, str(error), 0.0
        try:
            waits = True
            check_stopped()
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            waits = False
            end(process)
        output.seek(max(0, output.seek(0, os.SEEK_END) - kept_bytes))
        text = output.read().decode("utf-8", "replace")
    return code, text, time.monotonic() - started


def cell(value):
    return "" if value is None else f"{value:.4g}" if isinstance(value, (int, float)) else str(value)


def ratio(a, b):
    return None if a is None or not b else a / b


def row_of(entry):
    predicted = entry.get("predicted") or {}
    measured = entry.get("measured")
    cells = [f"{entry.get('name')}, {entry.get('mode')}", predicted.get("milliseconds"), predicted.get("limit"), measured]
    cells += [entry.get("launches"), ratio(predicted.get("milliseconds"), measured), entry.get("eager"), entry.get("compiled")]
    cells += [ratio(entry.get("eager"), measured), ratio(entry.get("compiled"), measured)]
    return f"| {' | '.join(cell(value) for value in cells)} |"


def page(content):
    rows = [
        "| workload | predicted ms | limit | measured ms | launches | share of the prediction | torch eager ms | torch compiled ms | eager / ours | compiled / ours |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(row_of(entry) for entry in content["workloads"]),
    ]
    parts = [f"| {p['part']} | {p['state']} | {p['seconds']} | {' '.join(p['said'][-1:]).replace('|', '/')} |" for p in content["parts"]]
    losses = [
        f"- {each['workload']}: {each['why'] or 'largest difference ' + cell(each['difference'])} over {each['steps']} steps"
        for each in content["losses"]
    ]
    why = [
        f"- {e['name']}, {e.get('mode')}: {e[key]}" for e in content["workloads"] for key in ("why", "eager_why", "compiled_why") if e.get(key)
    ]
    return "\n".join(
        [f"# {content['device']}", "", content.get("machine", ""), "", "| part | state | seconds | said |", "|---|---|---|---|", *parts]
        + ["", "Losses on the GPU and on the CPU:", "", *losses, "", *rows, "", *why, ""]
        + [
            "Predicted: each kernel at the data sheet's peak or bandwidth, and 4 us at least (1.5 us in a graph). Ours: medians of",
            "samples that wait for the device once; PyTorch: medians between CUDA events. tf32 rounds the factors of products;",
            "bfloat16 is autocast, in PyTorch too; graph is a captured whole step, beside PyTorch's reduce-overhead.",
            "",
        ]
    )


def replace(path, text):
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


class Report:
    """The results so far, which are in the files after each part."""

    def __init__(self, slower):
        self.slower = slower
        self.until = time.monotonic() + all_seconds * slower
        self.parts = []
        self.device = "unknown GPU"
        self.machine = ""
        self.path = None  # of the last files, without their endings

    def content(self):
        content = {"losses": [], "workloads": []}
        try:
            with open(raw) as file:
                content.update(json.load(file))
        except (OSError, ValueError):  # The bench has not begun.
            pass
        return {**content, "device": self.device, "machine": self.machine, "parts": self.parts}

    def save(self):
        name = re.sub(r"[^a-z0-9]+", "-", re.sub(r"^CUDA kernels: ", "", self.device).lower()).strip("-")
        path = os.path.join(results, f"cuda-{name}")
        content = self.content()
        if self.path not in (None, path):
            for old in glob.glob(glob.escape(self.path) + ".*"):
                os.remove(old)
        self.path = path
        replace(path + ".json", json.dumps(content, indent=2) + "\n")
        try:
            replace(path + ".md", page(content))
        except (KeyError, TypeError) as error:  # The figures count more than their page.
            say(f"no page: {error!r}")
        return path

    def add(self, name, state, seconds, said):
        say(f"{name}: {state}, {seconds:.1f} s{': ' + said[-1] if said else ''}")
        self.parts.append({"part": name, "state": state, "seconds": round(seconds, 2), "said": said})
        self.save()

    def run(self, name, limit, command, environment=None, skips=None):
        """Runs a part. `skips` is the exit code that says that the machine lacks something. Returns whether it passed."""
        check_stopped()
        left = self.until - time.monotonic()
        if left < least_seconds * self.slower:
            self.add(name, "skipped", 0, ["no time was left"])
            return False
        code, text, seconds = run(command, min(limit * self.slower, left), environment)
        state = "passed" if code == 0 else "cut off" if code == 124 else "skipped" if code == skips else "failed"
        lines = text.strip().splitlines()
        if code in (0, skips):
            said = lines[-1:]
        else:
            # The output of failed parts is kept, because nobody may come back to this machine. A process that was killed may
            # have said nothing.
            telling = [line for line in lines if re.search(r"Error|FAILED", line)] or lines[-1:]
            said = [*lines[-80:], telling[-1] if telling else f"it said nothing, exit code {code}"]
        self.add(name, state, seconds, said)
        return state == "passed"


def find_device(report):
    """Asks the library for the GPU, and nvidia-smi for its limits. Returns whether there is a GPU."""
    tell = "import { describeDevice, device } from './lib/index.js'; console.log(describeDevice(device('cuda')))"
    found = report.run("device", 30, [node, "--input-type=module", "-e", tell])
    if found:
        report.device = report.parts[-1]["said"][-1]
    smi = shutil.which("nvidia-smi")
    if smi:
        asked = "name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,memory.total,memory.used,utilization.gpu"
        _, text, _ = run([smi, f"--query-gpu={asked}", "--format=csv"], 10)
        report.machine = " / ".join(text.strip().splitlines())
    return found


def sanitize(report):
    places = [shutil.which("compute-sanitizer"), *sorted(glob.glob("/usr/local/cuda*/bin/compute-sanitizer"), reverse=True)]
    tool = next((place for place in places if place and os.path.exists(place)), None)
    if tool is None:
        return report.add("sanitizer", "skipped", 0, ["there is no compute-sanitizer on this machine"])
    for name, limit in sanitizer_tools:
        command = [tool, "--tool", name, "--error-exitcode", "9", node, "tests/cuda/cases.js"]
        # As under the emulator's checker, only the smaller cases run, and fewer of them.
        report.run(f"sanitizer {name}", limit, command, {"FIRESTEEL_EMULATOR_CHECK": "1"})


def run_parts(report, wanted, options):
    def run_checks(some):
        for name, limit, program, environment in some:
            if name in wanted:
                report.run(name, limit, [node, *program], environment)

    run_checks(checks)
    if "bench" in wanted:
        command = [node, "bench/cuda-process.js", raw, options.sizes, str(options.seconds)]
        report.run("bench", bench_seconds, command + ([options.named] if options.named else []))
    if "torch" in wanted:
        if os.path.exists(raw):
            report.run("torch", torch_seconds, [sys.executable, "torch_cuda.py", raw, str(options.seconds / 2)], skips=3)
        else:
            report.add("torch", "skipped", 0, ["the bench has written no workloads"])
    run_checks(later_checks)
    if "sanitizer" in wanted:
        sanitize(report)


def main():
    parser = argparse.ArgumentParser(add_help=True)
    parser.add_argument("--sizes", choices=["small", "medium", "large"], default="large")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--as", dest="named", default=None)
    parser.add_argument("--slower", type=float, default=1)
    parser.add_argument("--only", default=None)
    options = parser.parse_args()
    known = [name for name, *_ in [*checks, *later_checks]] + ["bench", "torch", "sanitizer"]
    wanted = known if options.only is None else options.only.split(",")
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(known)}")
    os.makedirs(results, exist_ok=True)
    if "bench" in wanted and os.path.exists(raw):
        os.remove(raw)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    report = Report(options.slower)
    try:
        if find_device(report):
            run_parts(report, wanted, options)
    except Stopped as stopped:
        report.add("the rest", "cut off", 0, [f"this program got {stopped}"])
    say(f"{report.save()}.json and .md")
    return 1 if any(part["state"] in ("failed", "cut off") for part in report.parts) else 0


if __name__ == "__main__":
    sys.exit(main())
